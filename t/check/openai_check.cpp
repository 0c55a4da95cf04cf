// Chat completions, for the checkers: how its services send answers, how its clients write
// requests, what its API refuses.
#include "t/check/dialect_check.hpp"
#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

using json::Value;

// --- as a provider ----------------------------------------------------------------------------

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
        chunk([](json::Writer &) {}, finish());
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
        w.end().key("finish_reason").plain(finish()).end().end();
        usage(w);
        w.end();
        return std::string(out_.view());
    }

  private:
    std::string_view finish() const {
        return from_.finish == ir::Finish::length       ? "length"
               : from_.finish == ir::Finish::tool_calls ? "tool_calls"
                                                        : "stop";
    }

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

void fit(Scenario &scenario, Chance &) {
    using Kind = Scenario::Block::Kind;
    std::vector<Scenario::Block> kept;
    bool has_calls = false;
    for (Scenario::Block &block : scenario.blocks) {
        has_calls = has_calls || block.kind == Kind::call;
        // One text before the calls; reasoning without opaque parts.
        if (block.kind == Kind::redacted || (block.kind == Kind::text && has_calls) ||
            (block.kind == Kind::reasoning && block.text.empty())) {
            continue;
        }
        block.signature.clear();
        kept.push_back(block);
    }
    scenario.blocks = kept;
    if (scenario.finish == ir::Finish::stop_sequence) {
        scenario.finish = ir::Finish::stop;
        scenario.stop_sequence.clear();
    }
    scenario.cache_write = 0;
}

std::string stream_of(const Scenario &scenario) {
    return ChatStreamWriter(scenario).write();
}

std::string body_of(const Scenario &scenario) {
    return ChatStreamWriter(scenario).body();
}

constexpr Aim kAims[] = {
    {DialectId::openai, "gpt-4o", true},
    {DialectId::openai, "gpt-5-mini", true},
    {DialectId::openai, "llama-3.3-70b", false},
};

// --- requests ---------------------------------------------------------------------------------

std::string chat_image(Value part) {
    std::string url = plain(part["image_url"]["url"].text());
    size_t comma = url.find(";base64,");
    return url.starts_with("data:") && comma != std::string::npos ? url.substr(comma + 8) : url;
}

void chat_content(Value content, std::vector<std::string> &texts, Said &said) {
    add_text(texts, content);
    for (Value part : content.items()) {
        add_text(texts, part["text"]);
        add_text(texts, part["refusal"]);
        if (part["type"].equals("image_url")) {
            said.images.push_back(chat_image(part));
        }
        said.documents += part["type"].equals("file") ? 1 : 0;
    }
}

void chat_message(Value message, Said &said) {
    Value role = message["role"];
    Value content = message["content"];
    if (role.equals("tool") || role.equals("function")) {
        std::vector<std::string> texts;
        chat_content(content, texts, said);
        std::string all;
        for (const std::string &text : texts) {
            all += text;
        }
        std::string id = plain(message["tool_call_id"].text());
        said.results.push_back({id.empty() ? plain(message["name"].text()) : id, all});
        return;
    }
    if (role.equals("assistant")) {
        chat_content(content, said.assistant, said);
        add_text(said.assistant, message["refusal"]);
        for (Value call : message["tool_calls"].items()) {
            bool is_custom = call["type"].equals("custom");
            Value function = call[is_custom ? "custom" : "function"];
            said.calls.push_back({plain(call["id"].text()), plain(function["name"].text()),
                                  plain(function[is_custom ? "input" : "arguments"].text())});
        }
        if (Value old = message["function_call"]; old.is_object()) {
            std::string name = plain(old["name"].text());
            said.calls.push_back({name, name, plain(old["arguments"].text())});
        }
        return;
    }
    chat_content(content, role.equals("user") ? said.user : said.system, said);
}

Said read_request(Value root) {
    Said said;
    for (Value message : root["messages"].items()) {
        chat_message(message, said);
    }
    return said;
}

class ChatRequestWriter {
  public:
    ChatRequestWriter(const Ask &ask, Chance &chance) : ask_(ask), chance_(chance), w_(out_) {}

    std::string write() {
        w_.object().key("model").plain("asked-for");
        if (ask_.max_tokens > 0) {
            w_.key("max_tokens").number(ask_.max_tokens);
        }
        if (ask_.stream) {
            w_.key("stream").boolean(true);
        }
        if (!ask_.temperature.empty()) {
            w_.key("temperature").raw({ask_.temperature});
        }
        if (ask_.thinking) {
            w_.key("reasoning_effort").plain("medium");
        }
        if (ask_.has_unknown_member) {
            w_.key("x_vendor").object().key("a").raw({"1.50"}).end();
        }
        w_.key("tools").array();
        for (const std::string &name : ask_.tools) {
            w_.object().key("type").plain("function").key("function").object();
            w_.key("name").plain(name).key("parameters").object();
            w_.key("type").plain("object").key("properties").object().end().end().end().end();
        }
        w_.end().key("messages").array();
        if (!ask_.system.empty()) {
            w_.object().key("role").plain(chance_.one_in(2) ? "system" : "developer");
            w_.key("content").plain(ask_.system).end();
        }
        for (const Ask::Turn &turn : ask_.turns) {
            write_turn(turn);
        }
        w_.end().end();
        return std::string(out_.view());
    }

  private:
    void write_turn(const Ask::Turn &turn) {
        using Kind = Ask::Turn::Kind;
        for (const Ask::Result &result : turn.results) {
            w_.object().key("role").plain("tool").key("tool_call_id").plain(result.id);
            w_.key("content").plain(result.text).end();
        }
        w_.object().key("role").plain(turn.kind == Kind::user        ? "user"
                                      : turn.kind == Kind::assistant ? "assistant"
                                                                     : "system");
        if (turn.calls.empty()) {
            content(turn);
        } else {
            w_.key("tool_calls").array();
            for (const Ask::Call &call : turn.calls) {
                w_.object().key("id").plain(call.id).key("type").plain("function");
                w_.key("function").object().key("name").plain(call.name);
                w_.key("arguments").plain(call.arguments).end().end();
            }
            w_.end();
        }
        w_.end();
    }

    void content(const Ask::Turn &turn) {
        w_.key("content");
        if (!turn.as_parts) {
            w_.plain(turn.text);
            return;
        }
        w_.array().object().key("type").plain("text").key("text").plain(turn.text).end();
        if (!turn.image.empty()) {
            w_.object().key("type").plain("image_url").key("image_url").object();
            w_.key("url").plain(turn.image).end().end();
        }
        w_.end();
    }

    const Ask &ask_;
    Chance &chance_;
    ByteBuffer out_;
    json::Writer w_;
};

std::string request_of(const Ask &ask, Chance &chance) {
    return ChatRequestWriter(ask, chance).write();
}

// --- as a client ------------------------------------------------------------------------------

std::string finish_of(const Message &message) {
    const std::string &finish = message.finish;
    if (finish == "length" || finish == "context_length") {
        return "length";
    }
    if (finish == "content_filter" || finish == "refusal") {
        return "content_filter";
    }
    if (finish == "tool_calls") {
        return "tool_calls";
    }
    return finish == "stop" && !message.calls.empty() ? "tool_calls" : "stop";
}

}  // namespace

const DialectCheck kOpenAiCheck = {
    .id = DialectId::openai,
    .read_request = read_request,
    .fit = fit,
    .stream_of = stream_of,
    .body_of = body_of,
    .aims = kAims,
    .check_rules = check_chat_rules,
    .request_of = request_of,
    .read_stream = read_chat_stream,
    .read_body = read_chat_body,
    .finish_of = finish_of,
};

}  // namespace llm::check
