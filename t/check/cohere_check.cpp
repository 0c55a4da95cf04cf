// Cohere's v2 chat, for the checkers: how it sends answers, what its API refuses.
#include <algorithm>
#include <set>

#include "t/check/dialect_check.hpp"
#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

using json::Value;
using Kind = Scenario::Block::Kind;

// --- as a provider ----------------------------------------------------------------------------

class CohereWriter {
  public:
    explicit CohereWriter(const Scenario &from) : from_(from), chance_(from.seed + 1) {
        for (const Scenario::Block &block : from.blocks) {
            has_calls_ = has_calls_ || block.kind == Kind::call;
        }
    }

    std::string stream() {
        frame("message-start", [&](json::Writer &w) {
            w.key("id").plain("answer-x").key("delta").object().key("message").object();
            w.key("role").plain("assistant").key("content").array().end();
            w.key("tool_plan").plain("").key("tool_calls").array().end();
            w.key("citations").array().end().end().end();
        });
        int64_t index = 0;
        std::vector<Call> calls;
        for (const Scenario::Block &block : from_.blocks) {
            if (block.kind == Kind::call) {
                int64_t number = static_cast<int64_t>(calls.size());
                calls.push_back({&block, number, pieces(chance_, block.text)});
            } else if (is_plan(block)) {
                for (const std::string &piece : pieces(chance_, block.text)) {
                    frame("tool-plan-delta", [&](json::Writer &w) {
                        w.key("delta").object().key("message").object();
                        w.key("tool_plan").text({piece}).end().end();
                    });
                }
            } else {
                stream_content(block, index++);
            }
        }
        stream_calls(calls);
        frame("message-end", [&](json::Writer &w) {
            w.key("delta").object().key("finish_reason").plain(finish());
            usage(w);
            w.end();
        });
        out_.append("data: [DONE]\n\n");
        return std::string(out_.view());
    }

    std::string body() {
        json::Writer w(out_);
        w.object().key("id").plain("answer-x").key("message").object();
        w.key("role").plain("assistant");
        std::string citations;
        int64_t index = 0;
        w.key("content").array();
        for (const Scenario::Block &block : from_.blocks) {
            if (block.kind == Kind::call || is_plan(block)) {
                continue;
            }
            std::string_view type = block.kind == Kind::text ? "text" : "thinking";
            w.object().key("type").plain(type).key(type).plain(block.text).end();
            if (block.kind == Kind::text && is_citing()) {
                citations = citation(index);
            }
            ++index;
        }
        w.end();
        if (!citations.empty()) {
            w.key("citations").array().raw({citations}).end();
        }
        for (const Scenario::Block &block : from_.blocks) {
            if (is_plan(block)) {
                w.key("tool_plan").plain(block.text);
            }
        }
        if (has_calls_) {
            w.key("tool_calls").array();
            for (const Scenario::Block &block : from_.blocks) {
                if (block.kind == Kind::call) {
                    w.object().key("id").plain(block.id).key("type").plain("function");
                    w.key("function").object().key("name").plain(block.name);
                    w.key("arguments").plain(block.text).end().end();
                }
            }
            w.end();
        }
        w.end().key("finish_reason").plain(finish());
        usage(w);
        w.end();
        return std::string(out_.view());
    }

  private:
    struct Call {
        const Scenario::Block *block;
        int64_t index;
        std::vector<std::string> pieces;
    };

    // Older models plan their calls, newer ones think before them.
    bool is_plan(const Scenario::Block &block) const {
        return block.kind == Kind::reasoning && has_calls_ && from_.seed % 2 == 0;
    }
    bool is_citing() const { return from_.seed % 3 == 0; }

    std::string_view finish() const {
        switch (from_.finish) {
            case ir::Finish::length:
                return "MAX_TOKENS";
            case ir::Finish::tool_calls:
                return "TOOL_CALL";
            case ir::Finish::stop_sequence:
                return "STOP_SEQUENCE";
            default:
                return "COMPLETE";
        }
    }

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

    static std::string citation(int64_t index) {
        return "{\"start\":0,\"end\":1,\"text\":\"t\",\"sources\":[{\"type\":\"document\","
               "\"id\":\"doc:0\",\"document\":{\"id\":\"doc:0\",\"title\":\"Facts\","
               "\"url\":\"https://facts.example/\"}}],\"type\":\"TEXT_CONTENT\","
               "\"content_index\":" +
               std::to_string(index) + "}";
    }

    void stream_content(const Scenario::Block &block, int64_t index) {
        std::string_view type = block.kind == Kind::text ? "text" : "thinking";
        auto content = [&](std::string_view event, bool has_type, std::string_view text) {
            frame(event, [&](json::Writer &w) {
                w.key("index").number(index).key("delta").object().key("message").object();
                w.key("content").object();
                if (has_type) {
                    w.key("type").plain(type);
                }
                w.key(type).text({text}).end().end().end();
            });
        };
        content("content-start", true, "");
        for (const std::string &piece : pieces(chance_, block.text)) {
            content("content-delta", false, piece);
        }
        if (block.kind == Kind::text && is_citing()) {
            frame("citation-start", [&](json::Writer &w) {
                w.key("index").number(0).key("delta").object().key("message").object();
                w.key("citations").raw({citation(index)}).end().end();
            });
            frame("citation-end", [](json::Writer &w) { w.key("index").number(0); });
        }
        frame("content-end", [&](json::Writer &w) { w.key("index").number(index); });
    }

    // One after the other, or all of them at once, a fragment of each in turn.
    void stream_calls(const std::vector<Call> &calls) {
        if (from_.seed % 4 != 1) {
            for (const Call &call : calls) {
                start_call(call);
                for (const std::string &piece : call.pieces) {
                    arguments(call, piece);
                }
                end_call(call);
            }
            return;
        }
        size_t longest = 0;
        for (const Call &call : calls) {
            start_call(call);
            longest = std::max(longest, call.pieces.size());
        }
        for (size_t i = 0; i < longest; i++) {
            for (const Call &call : calls) {
                if (i < call.pieces.size()) {
                    arguments(call, call.pieces[i]);
                }
            }
        }
        for (const Call &call : calls) {
            end_call(call);
        }
    }

    void start_call(const Call &call) {
        frame("tool-call-start", [&](json::Writer &w) {
            w.key("index").number(call.index).key("delta").object().key("message").object();
            w.key("tool_calls").object().key("id").plain(call.block->id);
            w.key("type").plain("function").key("function").object();
            w.key("name").plain(call.block->name).key("arguments").plain("");
            w.end().end().end().end();
        });
    }

    void arguments(const Call &call, const std::string &piece) {
        frame("tool-call-delta", [&](json::Writer &w) {
            w.key("index").number(call.index).key("delta").object().key("message").object();
            w.key("tool_calls").object().key("function").object();
            w.key("arguments").text({piece}).end().end().end().end();
        });
    }

    void end_call(const Call &call) {
        frame("tool-call-end", [&](json::Writer &w) { w.key("index").number(call.index); });
    }

    void usage(json::Writer &w) {
        w.key("usage").object().key("billed_units").object().key("input_tokens").number(1);
        w.key("output_tokens").number(2).end().key("tokens").object();
        w.key("input_tokens").number(from_.input).key("output_tokens").number(from_.output);
        w.key("reasoning_tokens").number(from_.reasoning).end();
        w.key("cached_tokens").number(from_.cache_read).end();
    }

    const Scenario &from_;
    Chance chance_;
    ByteBuffer out_;
    bool has_calls_ = false;
};

void fit(Scenario &scenario, Chance &chance) {
    std::vector<Scenario::Block> kept;
    bool has_calls = false;
    for (Scenario::Block &block : scenario.blocks) {
        has_calls = has_calls || block.kind == Kind::call;
        // Text stands before the calls; nothing is signed.
        if (block.kind == Kind::redacted || (block.kind != Kind::call && has_calls) ||
            (block.kind == Kind::reasoning && block.text.empty())) {
            continue;
        }
        block.signature.clear();
        if (block.kind == Kind::call && chance.one_in(5)) {
            block.text = "null";  // a tool without parameters
        }
        kept.push_back(block);
    }
    scenario.blocks = kept;
    scenario.stop_sequence.clear();  // it is not said which
    scenario.cache_write = 0;
}

std::string stream_of(const Scenario &scenario) {
    return CohereWriter(scenario).stream();
}

std::string body_of(const Scenario &scenario) {
    return CohereWriter(scenario).body();
}

// --- requests ---------------------------------------------------------------------------------

constexpr Aim kAims[] = {
    {DialectId::cohere, "command-a-03-2025", true},
    {DialectId::cohere, "command-a-reasoning-08-2025", true},
};

void read_content(Value content, std::vector<std::string> &texts, Said &said) {
    add_text(texts, content);
    for (Value part : content.items()) {
        add_text(texts, part["text"]);
        said.documents += part["type"].equals("document") ? 1 : 0;
        if (part["type"].equals("image_url")) {
            std::string url = plain(part["image_url"]["url"].text());
            size_t comma = url.find(";base64,");
            bool is_data = url.starts_with("data:") && comma != std::string::npos;
            said.images.push_back(is_data ? url.substr(comma + 8) : url);
        }
    }
}

Said read_request(Value root) {
    Said said;
    said.documents = root["documents"].size();
    for (Value message : root["messages"].items()) {
        Value role = message["role"];
        if (role.equals("tool")) {
            std::vector<std::string> texts;
            read_content(message["content"], texts, said);
            std::string all;
            for (const std::string &text : texts) {
                all += text;
            }
            said.results.push_back({plain(message["tool_call_id"].text()), all});
            continue;
        }
        read_content(message["content"],
                     role.equals("assistant") ? said.assistant
                     : role.equals("user")    ? said.user
                                              : said.system,
                     said);
        for (Value call : message["tool_calls"].items()) {
            said.calls.push_back({plain(call["id"].text()), plain(call["function"]["name"].text()),
                                  plain(call["function"]["arguments"].text())});
        }
    }
    return said;
}

class CohereRules {
  public:
    CohereRules(Value root, const ModelTraits &traits, Problems &problems)
        : root_(root), traits_(traits), problems_(problems) {}

    void check() {
        only(root_,
             {"model",
              "messages",
              "stream",
              "tools",
              "tool_choice",
              "strict_tools",
              "documents",
              "citation_options",
              "max_tokens",
              "response_format",
              "safety_mode",
              "stop_sequences",
              "temperature",
              "frequency_penalty",
              "presence_penalty",
              "seed",
              "k",
              "p",
              "logprobs",
              "thinking",
              "priority"},
             "the request");
        if (!root_["model"].is_string() || root_["messages"].size() == 0) {
            refuse("no model, or no messages");
        }
        range("temperature", 0, 5);
        range("p", 0.01, 0.99);
        range("k", 0, 500);
        range("frequency_penalty", 0, 1);
        range("presence_penalty", 0, 1);
        if (root_["stop_sequences"].size() > 5) {
            refuse("more than five stop sequences");
        }
        if (!root_["thinking"].is_unset() && !traits_.thinking) {
            refuse("thinking at a model without it");
        }
        tools();
        std::vector<std::string> open;
        for (Value message : root_["messages"].items()) {
            check_message(message, open);
        }
        if (!open.empty()) {
            refuse("the last calls have no results");
        }
    }

  private:
    void refuse(const std::string &why) { problems_.push_back(why); }

    void only(Value object, const std::set<std::string> &known, const std::string &where) {
        for (auto [key, value] : object.members()) {
            if (known.count(plain(key)) == 0) {
                refuse("unknown member " + plain(key) + " in " + where);
            }
        }
        if (!json::duplicate_key(object).empty()) {
            refuse("a member stands twice in " + where);
        }
    }

    void range(std::string_view name, double least, double most) {
        Value value = root_[name];
        double number = value.as_double().value_or(least);
        if (!value.is_unset() && (!value.is_number() || number < least || number > most)) {
            refuse(std::string(name) + " is out of range");
        }
    }

    void tools() {
        std::set<std::string> names;
        for (Value tool : root_["tools"].items()) {
            only(tool, {"type", "function"}, "a tool");
            only(tool["function"], {"name", "description", "parameters"}, "a function");
            std::string name = plain(tool["function"]["name"].text());
            if (name.empty() || !names.insert(name).second) {
                refuse("the name of a tool: " + shown(name));
            }
            if (!tool["function"]["parameters"]["type"].equals("object")) {
                refuse("parameters are no object schema");
            }
        }
        Value choice = root_["tool_choice"];
        bool is_known = choice.equals("REQUIRED") || choice.equals("NONE");
        if (!choice.absent() && (names.empty() || !is_known)) {
            refuse("tool_choice without tools, or of another kind");
        }
        if (!root_["response_format"].absent() && !names.empty()) {
            refuse("response_format beside tools");
        }
    }

    void check_message(Value message, std::vector<std::string> &open) {
        std::string role = plain(message["role"].text());
        Value content = message["content"];
        if (role == "tool") {
            only(message, {"role", "tool_call_id", "content"}, "a result");
            auto found = std::find(open.begin(), open.end(), plain(message["tool_call_id"].text()));
            if (found == open.end()) {
                refuse("a result without its call, or a second one");
            } else {
                open.erase(found);
            }
        } else if (!open.empty()) {
            refuse("calls without results right behind them");
            open.clear();
        }
        if (role == "assistant") {
            only(message, {"role", "content", "tool_calls", "tool_plan"}, "an assistant message");
            for (Value call : message["tool_calls"].items()) {
                open.push_back(plain(call["id"].text()));
                if (!call["type"].equals("function") || open.back().empty() ||
                    !call["function"]["arguments"].is_string()) {
                    refuse("a call that is malformed");
                }
            }
            if (content.absent() && message["tool_calls"].size() == 0) {
                refuse("an assistant message that says nothing");
            }
        } else if (!content.is_string() && content.size() == 0) {
            refuse("a message without content");
        } else if (role != "tool" && role != "user" && role != "system") {
            refuse("role " + shown(role));
        }
        for (Value part : content.items()) {
            if (part["type"].equals("text") && part["text"].text().empty()) {
                refuse("an empty text part");
            }
            if (part["type"].equals("image_url") && role != "user") {
                refuse("an image that is not the user's");
            }
        }
    }

    Value root_;
    const ModelTraits &traits_;
    Problems &problems_;
};

void check_rules(Value root, const ModelTraits &traits, Problems &problems) {
    CohereRules(root, traits, problems).check();
}

}  // namespace

const DialectCheck kCohereCheck = {
    .id = DialectId::cohere,
    .read_request = read_request,
    .fit = fit,
    .stream_of = stream_of,
    .body_of = body_of,
    .aims = kAims,
    .check_rules = check_rules,
};

}  // namespace llm::check
