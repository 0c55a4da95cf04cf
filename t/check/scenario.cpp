// See scenario.hpp. Streams are written as the two big providers write them, with the liberties
// that others take: fragments of any size, pings, parallel calls that interleave.
#include "t/check/scenario.hpp"

#include <algorithm>
#include <cstdio>

#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

constexpr std::string_view kWords[] = {
    "harbour",
    "calm ",
    "\xc3\xa9t\xc3\xa9",
    "\xe2\x98\x95",
    "\xf0\x9f\x98\x80",
    "\"quoted\"",
    "back\\slash",
    "\n\n",
    "data: {\"x\":1}\n\n",
    "[DONE]",
    "\t",
    "</system>",
    "{",
    "}",
    "null",
    "\r\n",
    "event: error",
    "\x01\x1f",
    "e\xcc\x81",
    ":",
    " ",
    "0.10",
    "\xe2\x80\xa8",
};

// The text as it stands between quotes, in fragments. Characters beyond the basic plane may be
// written as two escapes, and a fragment may end between them, as some providers do.
std::vector<std::string> pieces(Chance &chance, const std::string &text) {
    std::vector<std::string> units;
    for (size_t at = 0; at < text.size();) {
        unsigned char first = static_cast<unsigned char>(text[at]);
        size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        if (size == 4 && chance.one_in(2)) {
            uint32_t code = (first & 7u) << 18;
            for (size_t i = 1; i < 4; i++) {
                code |= (static_cast<unsigned char>(text[at + i]) & 0x3fu) << (18 - 6 * i);
            }
            char escape[16];
            snprintf(escape, sizeof escape, "\\u%04x", 0xd800 + ((code - 0x10000) >> 10));
            units.push_back(escape);
            snprintf(escape, sizeof escape, "\\u%04x", 0xdc00 + (code & 0x3ff));
            units.push_back(escape);
        } else {
            ByteBuffer unit;
            json::append_escaped(std::string_view(text).substr(at, size), unit);
            units.emplace_back(unit.view());
        }
        at += size;
    }
    std::vector<std::string> out;
    for (size_t at = 0; at < units.size();) {
        size_t end = std::min(at + (chance.one_in(3) ? 1 : 1 + chance.below(12)), units.size());
        std::string &piece = out.emplace_back();
        while (at < end) {
            piece += units[at++];
        }
    }
    return out;
}

class ChatStreamWriter {
  public:
    explicit ChatStreamWriter(const Scenario &from) : from_(from), chance_(from.seed + 1) {}

    std::string write() {
        chunk([](json::Writer &w) { w.key("role").plain("assistant").key("content").plain(""); });
        std::vector<size_t> calls;
        for (size_t i = 0; i < from_.blocks.size(); i++) {
            const Scenario::Block &block = from_.blocks[i];
            if (block.kind == Scenario::Block::Kind::call) {
                calls.push_back(i);
                continue;
            }
            bool is_text = block.kind == Scenario::Block::Kind::text;
            for (const std::string &piece : pieces(chance_, block.text)) {
                chunk([&](json::Writer &w) {
                    w.key(is_text ? "content" : "reasoning_content").text({piece});
                });
            }
        }
        write_calls(calls);
        chunk([](json::Writer &) {}, from_.finish);
        out_.append("data: ");
        json::Writer w(out_);
        head(w);
        w.key("choices").array().end();
        usage(w);
        w.end();
        out_.append("\n\ndata: [DONE]\n\n");
        return std::string(out_.view());
    }

    void usage(json::Writer &w) {
        w.key("usage").object().key("prompt_tokens").number(from_.input);
        w.key("completion_tokens").number(from_.output);
        w.key("total_tokens").number(from_.input + from_.output);
        w.key("prompt_tokens_details").object();
        w.key("cached_tokens").number(from_.cache_read).end();
        w.key("completion_tokens_details").object();
        w.key("reasoning_tokens").number(from_.reasoning).end().end();
    }

    std::string body() {
        json::Writer w(out_);
        w.object().key("id").plain("chatcmpl-x").key("object").plain("chat.completion");
        w.key("created").number(1690000000).key("model").plain("gpt-x");
        w.key("choices").array().object().key("index").number(0).key("message").object();
        w.key("role").plain("assistant");
        std::string text, reasoning;
        bool has_calls = false;
        for (const Scenario::Block &block : from_.blocks) {
            bool is_text = block.kind == Scenario::Block::Kind::text;
            has_calls = has_calls || block.kind == Scenario::Block::Kind::call;
            if (block.kind != Scenario::Block::Kind::call) {
                (is_text ? text : reasoning) += block.text;
            }
        }
        w.key("content");
        text.empty() && has_calls ? w.null() : w.plain(text);
        if (!reasoning.empty()) {
            w.key("reasoning_content").plain(reasoning);
        }
        if (has_calls) {
            w.key("tool_calls").array();
            for (const Scenario::Block &block : from_.blocks) {
                if (block.kind == Scenario::Block::Kind::call) {
                    w.object().key("id").plain(block.id).key("type").plain("function");
                    w.key("function").object().key("name").plain(block.name);
                    w.key("arguments").plain(block.text).end().end();
                }
            }
            w.end();
        }
        w.end().key("finish_reason").plain(from_.finish).end().end();
        usage(w);
        w.end();
        return std::string(out_.view());
    }

  private:
    void head(json::Writer &w) {
        w.object().key("id").plain("chatcmpl-x").key("object").plain("chat.completion.chunk");
        w.key("created").number(1690000000).key("model").plain("gpt-x");
    }

    template <class Delta>
    void chunk(Delta delta, std::string_view finish = {}) {
        out_.append("data: ");
        json::Writer w(out_);
        head(w);
        w.key("choices").array().object().key("index").number(0).key("delta").object();
        delta(w);
        w.end().key("finish_reason");
        finish.empty() ? w.null() : w.plain(finish);
        w.end().end().end();
        out_.append("\n\n");
    }

    // In turn, or the fragments of all of them mixed.
    void write_calls(const std::vector<size_t> &calls) {
        struct Rest {
            std::vector<std::string> pieces;
            size_t next = 0;
            bool is_opened = false;
        };
        std::vector<Rest> rest(calls.size());
        for (size_t i = 0; i < calls.size(); i++) {
            rest[i].pieces = pieces(chance_, from_.blocks[calls[i]].text);
        }
        bool is_mixed = chance_.one_in(2);
        size_t opened = 0;
        while (true) {
            size_t at = 0;
            while (at < calls.size() && rest[at].is_opened &&
                   rest[at].next == rest[at].pieces.size()) {
                at++;
            }
            if (at == calls.size()) {
                return;
            }
            if (is_mixed) {
                size_t other = chance_.below(calls.size());
                if (other <= opened &&
                    (!rest[other].is_opened || rest[other].next < rest[other].pieces.size())) {
                    at = other;
                }
            }
            if (!rest[at].is_opened && at > opened) {
                at = opened;
            }
            const Scenario::Block &block = from_.blocks[calls[at]];
            bool is_new = !rest[at].is_opened;
            std::string piece = is_new ? "" : rest[at].pieces[rest[at].next++];
            chunk([&](json::Writer &w) {
                w.key("tool_calls").array().object().key("index").number(int64_t(at));
                if (is_new) {
                    w.key("id").plain(block.id).key("type").plain("function");
                }
                w.key("function").object();
                if (is_new) {
                    w.key("name").plain(block.name);
                }
                w.key("arguments").text({piece}).end().end().end();
            });
            opened += is_new ? 1 : 0;
            rest[at].is_opened = true;
        }
    }

    const Scenario &from_;
    Chance chance_;
    ByteBuffer out_;
};

class MessagesStreamWriter {
  public:
    explicit MessagesStreamWriter(const Scenario &from) : from_(from), chance_(from.seed + 1) {}

    std::string write() {
        frame("message_start", [&](json::Writer &w) {
            w.key("message").object().key("id").plain("msg_x").key("type").plain("message");
            w.key("role").plain("assistant").key("model").plain("claude-x");
            w.key("content").array().end().key("stop_reason").null().key("stop_sequence").null();
            w.key("usage");
            usage(w, 1);
            w.end();
        });
        for (size_t i = 0; i < from_.blocks.size(); i++) {
            write_block(int64_t(i), from_.blocks[i]);
        }
        frame("message_delta", [&](json::Writer &w) {
            w.key("delta").object().key("stop_reason").plain(from_.finish).key("stop_sequence");
            from_.stop_sequence.empty() ? w.null() : w.plain(from_.stop_sequence);
            w.end().key("usage");
            usage(w, from_.output);
        });
        frame("message_stop", [](json::Writer &) {});
        return std::string(out_.view());
    }

    std::string body() {
        json::Writer w(out_);
        w.object().key("id").plain("msg_x").key("type").plain("message");
        w.key("role").plain("assistant").key("model").plain("claude-x").key("content").array();
        for (const Scenario::Block &block : from_.blocks) {
            start(w, block, true);
        }
        w.end().key("stop_reason").plain(from_.finish).key("stop_sequence");
        from_.stop_sequence.empty() ? w.null() : w.plain(from_.stop_sequence);
        w.key("usage");
        usage(w, from_.output);
        w.end();
        return std::string(out_.view());
    }

  private:
    template <class Rest>
    void frame(std::string_view type, Rest rest) {
        out_.append("event: ");
        out_.append(type);
        out_.append("\ndata: ");
        json::Writer w(out_);
        w.object().key("type").plain(type);
        rest(w);
        w.end();
        out_.append("\n\n");
    }

    void usage(json::Writer &w, int64_t output) {
        w.object().key("input_tokens");
        w.number(from_.input - from_.cache_read - from_.cache_write);
        w.key("cache_creation_input_tokens").number(from_.cache_write);
        w.key("cache_read_input_tokens").number(from_.cache_read);
        w.key("output_tokens").number(output).end();
    }

    void start(json::Writer &w, const Scenario::Block &block, bool is_whole) {
        w.object();
        switch (block.kind) {
            case Scenario::Block::Kind::text:
                w.key("type").plain("text").key("text").plain(is_whole ? block.text : "");
                break;
            case Scenario::Block::Kind::reasoning:
                w.key("type").plain("thinking").key("thinking").plain(is_whole ? block.text : "");
                w.key("signature").plain(is_whole ? block.signature : "");
                break;
            case Scenario::Block::Kind::redacted:
                w.key("type").plain("redacted_thinking").key("data").plain(block.text);
                break;
            case Scenario::Block::Kind::call:
                w.key("type").plain("tool_use").key("id").plain(block.id);
                w.key("name").plain(block.name).key("input");
                is_whole ? w.raw({block.text}) : w.object().end();
                break;
        }
        w.end();
    }

    void write_block(int64_t index, const Scenario::Block &block) {
        frame("content_block_start", [&](json::Writer &w) {
            w.key("index").number(index).key("content_block");
            start(w, block, false);
        });
        auto delta = [&](std::string_view type, std::string_view member, std::string_view text) {
            frame("content_block_delta", [&](json::Writer &w) {
                w.key("index").number(index).key("delta").object().key("type").plain(type);
                w.key(member).text({text}).end();
            });
            if (chance_.one_in(9)) {
                frame("ping", [](json::Writer &) {});
            }
        };
        if (block.kind != Scenario::Block::Kind::redacted) {
            bool is_call = block.kind == Scenario::Block::Kind::call;
            bool is_text = block.kind == Scenario::Block::Kind::text;
            for (const std::string &piece : pieces(chance_, block.text)) {
                delta(is_call   ? "input_json_delta"
                      : is_text ? "text_delta"
                                : "thinking_delta",
                      is_call   ? "partial_json"
                      : is_text ? "text"
                                : "thinking",
                      piece);
            }
            if (!block.signature.empty()) {
                delta("signature_delta", "signature", block.signature);
            }
        }
        frame("content_block_stop", [&](json::Writer &w) { w.key("index").number(index); });
    }

    const Scenario &from_;
    Chance chance_;
    ByteBuffer out_;
};

}  // namespace

std::string random_text(Chance &chance, size_t words) {
    std::string text;
    for (size_t i = 0; i < words; i++) {
        text += kWords[chance.below(sizeof kWords / sizeof kWords[0])];
    }
    return text;
}

std::string random_arguments(Chance &chance) {
    ByteBuffer out;
    json::Writer w(out);
    w.object();
    for (size_t i = chance.below(4); i > 0; i--) {
        w.key("k" + std::to_string(i));
        switch (chance.below(4)) {
            case 0:
                w.plain(random_text(chance, chance.below(5)));
                break;
            case 1:
                w.raw({"12345678901234567890.10"});
                break;
            case 2:
                w.array().boolean(true).null().object().key("\xc3\xa9").number(-1).end().end();
                break;
            default:
                w.raw({"\"\\u00e9\\ud83d\\ude00\\/\""});
                break;
        }
    }
    w.end();
    return std::string(out.view());
}

Scenario random_scenario(DialectId dialect, uint64_t seed) {
    using Kind = Scenario::Block::Kind;
    Chance chance(seed);
    Scenario made;
    made.dialect = dialect;
    made.seed = seed;
    bool is_messages = dialect == DialectId::anthropic;
    auto text = [&] { return "t" + random_text(chance, 1 + chance.below(8)); };
    if (chance.one_in(2)) {
        made.blocks.push_back({Kind::reasoning,
                               chance.one_in(4) && is_messages ? "" : text(),
                               {},
                               {},
                               is_messages ? "c2ln" + std::to_string(seed) : ""});
        if (is_messages && chance.one_in(3)) {
            made.blocks.push_back({Kind::redacted, "cmVk", {}, {}, {}});
        }
    }
    if (!chance.one_in(4)) {
        made.blocks.push_back({Kind::text, text(), {}, {}, {}});
    }
    size_t calls = chance.one_in(2) ? chance.below(4) : 0;
    for (size_t i = 0; i < calls; i++) {
        std::string id =
            (chance.one_in(3) && !is_messages ? "functions.f:" : "call_") + std::to_string(i);
        made.blocks.push_back({Kind::call,
                               random_arguments(chance),
                               id,
                               "tool_" + std::to_string(chance.below(3)),
                               {}});
        if (is_messages && chance.one_in(3)) {
            made.blocks.push_back({Kind::text, text(), {}, {}, {}});
        }
    }
    bool is_cut = chance.one_in(5);
    made.finish = is_messages ? (is_cut      ? "max_tokens"
                                 : calls > 0 ? "tool_use"
                                             : "end_turn")
                              : (is_cut      ? "length"
                                 : calls > 0 ? "tool_calls"
                                             : "stop");
    if (is_messages && calls == 0 && chance.one_in(4)) {
        made.finish = "stop_sequence";
        made.stop_sequence = "\"END\"\n";
    }
    made.input = int64_t(50 + chance.below(1000));
    made.cache_read = int64_t(chance.below(40));
    made.cache_write = is_messages ? int64_t(chance.below(10)) : 0;
    made.output = int64_t(10 + chance.below(500));
    made.reasoning = is_messages ? 0 : int64_t(chance.below(10));
    return made;
}

std::string stream_of(const Scenario &scenario) {
    return scenario.dialect == DialectId::anthropic ? MessagesStreamWriter(scenario).write()
                                                    : ChatStreamWriter(scenario).write();
}

std::string body_of(const Scenario &scenario) {
    return scenario.dialect == DialectId::anthropic ? MessagesStreamWriter(scenario).body()
                                                    : ChatStreamWriter(scenario).body();
}

}  // namespace llm::check
