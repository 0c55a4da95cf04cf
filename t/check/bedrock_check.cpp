// Converse, for the checkers: how the service sends answers, and what a request to it says. What it
// refuses is in bedrock_rules.cpp.
#include "t/check/aws_frames.hpp"
#include "t/check/bedrock_rules.hpp"
#include "t/check/dialect_check.hpp"
#include "translators/core/base64.hpp"
#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

using json::Value;
using Kind = Scenario::Block::Kind;

// --- answers ----------------------------------------------------------------------------------

class ConverseWriter {
  public:
    explicit ConverseWriter(const Scenario &from) : from_(from), chance_(from.seed + 1) {}

    std::string stream() {
        frame("messageStart", [](json::Writer &w) { w.key("role").plain("assistant"); });
        for (size_t i = 0; i < from_.blocks.size(); i++) {
            bool is_next_call =
                i + 1 < from_.blocks.size() && from_.blocks[i + 1].kind == Kind::call;
            block(int64_t(i), from_.blocks[i], is_next_call);
        }
        frame("messageStop", [&](json::Writer &w) { stop(w); });
        frame("metadata", [&](json::Writer &w) {
            w.key("usage");
            usage(w);
            w.key("metrics").object().key("latencyMs").number(7).end();
        });
        return out_;
    }

    std::string body() {
        ByteBuffer out;
        json::Writer w(out);
        w.object().key("metrics").object().key("latencyMs").number(7).end();
        w.key("output").object().key("message").object().key("role").plain("assistant");
        w.key("content").array();
        for (const Scenario::Block &block : from_.blocks) {
            whole(w, block);
        }
        w.end().end().end();
        stop(w);
        w.key("usage");
        usage(w);
        w.end();
        return std::string(out.view());
    }

  private:
    template <class Rest>
    void frame(std::string_view name, Rest rest) {
        ByteBuffer payload;
        json::Writer w(payload);
        w.object();
        rest(w);
        w.key("p").plain(std::string_view("abcdefghijkl").substr(0, chance_.below(12)));
        w.end();
        out_ += aws_event(name, payload.view());
    }

    void stop(json::Writer &w) const {
        bool is_sequence = from_.finish == ir::Finish::stop_sequence;
        w.key("stopReason");
        w.plain(from_.finish == ir::Finish::length       ? "max_tokens"
                : from_.finish == ir::Finish::tool_calls ? "tool_use"
                : is_sequence                            ? "stop_sequence"
                                                         : "end_turn");
        if (is_sequence) {
            w.key("additionalModelResponseFields").object();
            w.key("stop_sequence").plain(from_.stop_sequence).end();
        }
    }

    void usage(json::Writer &w) const {
        w.object().key("inputTokens");
        w.number(from_.input - from_.cache_read - from_.cache_write);
        w.key("outputTokens").number(from_.output);
        w.key("totalTokens").number(from_.input + from_.output);
        w.key("cacheReadInputTokens").number(from_.cache_read);
        w.key("cacheWriteInputTokens").number(from_.cache_write).end();
    }

    static std::string blob(std::string_view text) {
        Arena arena;
        return std::string(encode_base64(text, arena));
    }

    static void whole(json::Writer &w, const Scenario::Block &block) {
        w.object();
        switch (block.kind) {
            case Kind::text:
                w.key("text").plain(block.text);
                break;
            case Kind::reasoning:
                w.key("reasoningContent").object().key("reasoningText").object();
                w.key("text").plain(block.text).key("signature").plain(block.signature);
                w.end().end();
                break;
            case Kind::redacted:
                w.key("reasoningContent").object();
                w.key("redactedContent").plain(blob(block.text)).end();
                break;
            case Kind::call:
                w.key("toolUse").object().key("toolUseId").plain(block.id);
                w.key("name").plain(block.name).key("input").raw({block.text}).end();
                break;
        }
        w.end();
    }

    void block(int64_t index, const Scenario::Block &block, bool is_next_call) {
        if (block.kind == Kind::call) {
            frame("contentBlockStart", [&](json::Writer &w) {
                w.key("contentBlockIndex").number(index).key("start").object();
                w.key("toolUse").object().key("toolUseId").plain(block.id);
                w.key("name").plain(block.name).end().end();
            });
        }
        auto delta = [&](auto rest) {
            frame("contentBlockDelta", [&](json::Writer &w) {
                w.key("contentBlockIndex").number(index).key("delta").object();
                rest(w);
                w.end();
            });
        };
        if (block.kind == Kind::redacted) {
            delta([&](json::Writer &w) {
                w.key("reasoningContent").object();
                w.key("redactedContent").plain(blob(block.text)).end();
            });
        } else {
            for (const std::string &piece : pieces(chance_, block.text)) {
                delta([&](json::Writer &w) { fragment(w, block.kind, piece); });
            }
            if (!block.signature.empty()) {
                delta([&](json::Writer &w) {
                    w.key("reasoningContent").object();
                    w.key("signature").plain(block.signature).end();
                });
            }
        }
        // Some models never end a block of text.
        bool is_left_open = block.kind != Kind::call && !is_next_call && chance_.one_in(3);
        if (!is_left_open) {
            frame("contentBlockStop",
                  [&](json::Writer &w) { w.key("contentBlockIndex").number(index); });
        }
    }

    static void fragment(json::Writer &w, Kind kind, std::string_view piece) {
        if (kind == Kind::text) {
            w.key("text").text({piece});
        } else if (kind == Kind::call) {
            w.key("toolUse").object().key("input").text({piece}).end();
        } else {
            w.key("reasoningContent").object().key("text").text({piece}).end();
        }
    }

    const Scenario &from_;
    Chance chance_;
    std::string out_;
};

void fit(Scenario &scenario, Chance &) {
    scenario.reasoning = 0;
}

std::string stream_of(const Scenario &scenario) {
    return ConverseWriter(scenario).stream();
}

std::string body_of(const Scenario &scenario) {
    return ConverseWriter(scenario).body();
}

constexpr Aim kAims[] = {
    {DialectId::bedrock, "us.anthropic.claude-sonnet-4-5-20250929-v1:0", true},
    {DialectId::bedrock, "anthropic.claude-3-5-sonnet-20240620-v1:0", true},
    {DialectId::bedrock, "global.anthropic.claude-opus-4-6-v1", true},
    {DialectId::bedrock, "us.amazon.nova-2-lite-v1:0", true},
    {DialectId::bedrock, "meta.llama3-3-70b-instruct-v1:0", true},
};

// --- requests ---------------------------------------------------------------------------------

std::string source_of(Value media) {
    std::string bytes = plain(media["source"]["bytes"].text());
    return bytes.empty() ? plain(media["source"]["s3Location"]["uri"].text()) : bytes;
}

void read_media(Value block, Said &said) {
    if (block["image"].is_object()) {
        said.images.push_back(source_of(block["image"]));
    }
    said.documents += block["document"].is_object() || block["video"].is_object() ? 1 : 0;
}

void read_block(Value block, bool is_user, Said &said) {
    add_text(is_user ? said.user : said.assistant, block["text"]);
    read_media(block, said);
    if (Value call = block["toolUse"]; call.is_object()) {
        said.calls.push_back({plain(call["toolUseId"].text()), plain(call["name"].text()),
                              std::string(call["input"].raw().bytes)});
    }
    if (Value result = block["toolResult"]; result.is_object()) {
        std::string text;
        for (Value part : result["content"].items()) {
            text += part["json"].is_object() ? std::string(part["json"].raw().bytes)
                                             : plain(part["text"].text());
            read_media(part, said);
        }
        said.results.push_back({plain(result["toolUseId"].text()), text});
    }
}

Said read_request(Value root) {
    Said said;
    for (Value block : root["system"].items()) {
        add_text(said.system, block["text"]);
    }
    for (Value message : root["messages"].items()) {
        for (Value block : message["content"].items()) {
            read_block(block, message["role"].equals("user"), said);
        }
    }
    return said;
}

}  // namespace

const DialectCheck kBedrockCheck = {
    .id = DialectId::bedrock,
    .read_request = read_request,
    .fit = fit,
    .stream_of = stream_of,
    .body_of = body_of,
    .frame_ends = aws_frame_ends,
    .aims = kAims,
    .check_rules = check_converse_rules,
};

}  // namespace llm::check
