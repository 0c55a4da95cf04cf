// Messages, for the checkers: how its services send answers, how its clients write requests, what
// its API refuses.
#include "t/check/dialect_check.hpp"
#include "translators/dialect/tool_names.hpp"
#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

using json::Value;

// --- as a provider ----------------------------------------------------------------------------

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
            w.key("delta").object().key("stop_reason").plain(finish()).key("stop_sequence");
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
        w.end().key("stop_reason").plain(finish()).key("stop_sequence");
        from_.stop_sequence.empty() ? w.null() : w.plain(from_.stop_sequence);
        w.key("usage");
        usage(w, from_.output);
        w.end();
        return std::string(out_.view());
    }

  private:
    std::string_view finish() const {
        switch (from_.finish) {
            case ir::Finish::length:
                return "max_tokens";
            case ir::Finish::tool_calls:
                return "tool_use";
            case ir::Finish::stop_sequence:
                return "stop_sequence";
            default:
                return "end_turn";
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

void fit(Scenario &scenario, Chance &) {
    for (Scenario::Block &block : scenario.blocks) {
        if (block.id.starts_with("functions.f:")) {
            block.id = "call_" + block.id.substr(12);
        }
    }
    scenario.reasoning = 0;
}

std::string stream_of(const Scenario &scenario) {
    return MessagesStreamWriter(scenario).write();
}

std::string body_of(const Scenario &scenario) {
    return MessagesStreamWriter(scenario).body();
}

constexpr Aim kAims[] = {
    {DialectId::anthropic, "claude-sonnet-4-5", true},
    {DialectId::anthropic, "claude-3-5-haiku-latest", true},
    {DialectId::anthropic, "claude-opus-4-8", true},
    {DialectId::anthropic, "claude-opus-4-6", true},
};

// --- requests ---------------------------------------------------------------------------------

void messages_block(Value block, bool is_user, Said &said);

std::string result_text(Value content, Said &said) {
    if (content.is_string()) {
        return plain(content.text());
    }
    std::string all;
    for (Value part : content.items()) {
        if (part["type"].equals("text")) {
            all += plain(part["text"].text());
        } else {
            messages_block(part, true, said);
        }
    }
    return all;
}

void messages_block(Value block, bool is_user, Said &said) {
    Value type = block["type"];
    if (type.equals("text")) {
        add_text(is_user ? said.user : said.assistant, block["text"]);
    } else if (type.equals("image")) {
        Value source = block["source"];
        std::string image = plain(source["data"].text());
        image = image.empty() ? plain(source["url"].text()) : image;
        said.images.push_back(image.empty() ? plain(source["file_id"].text()) : image);
    } else if (type.equals("document")) {
        said.documents++;
    } else if (type.equals("tool_use")) {
        said.calls.push_back({plain(block["id"].text()), plain(block["name"].text()),
                              std::string(block["input"].raw().bytes)});
    } else if (type.equals("tool_result")) {
        std::string text = result_text(block["content"], said);
        said.results.push_back({plain(block["tool_use_id"].text()), text});
    }
}

Said read_request(Value root) {
    Said said;
    add_text(said.system, root["system"]);
    for (Value block : root["system"].items()) {
        add_text(said.system, block["text"]);
    }
    for (Value message : root["messages"].items()) {
        bool is_user = message["role"].equals("user");
        if (message["role"].equals("system")) {
            add_text(said.system, message["content"]);
            for (Value block : message["content"].items()) {
                add_text(said.system, block["text"]);
            }
            continue;
        }
        add_text(is_user ? said.user : said.assistant, message["content"]);
        for (Value block : message["content"].items()) {
            messages_block(block, is_user, said);
        }
    }
    return said;
}

class MessagesRequestWriter {
  public:
    explicit MessagesRequestWriter(const Ask &ask) : ask_(ask), w_(out_) {}

    std::string write() {
        w_.object().key("model").plain("asked-for");
        w_.key("max_tokens").number(ask_.max_tokens > 0 ? ask_.max_tokens : 2000);
        if (ask_.stream) {
            w_.key("stream").boolean(true);
        }
        if (!ask_.temperature.empty()) {
            w_.key("temperature").raw({ask_.temperature});
        }
        if (!ask_.system.empty()) {
            w_.key("system").plain(ask_.system);
        }
        if (ask_.thinking) {
            w_.key("thinking").object().key("type").plain("enabled");
            w_.key("budget_tokens").number(1024).end();
        }
        if (ask_.has_unknown_member) {
            w_.key("x_vendor").object().key("a").raw({"1.50"}).end();
        }
        w_.key("tools").array();
        for (const std::string &name : ask_.tools) {
            if (name.find('.') == std::string::npos) {  // the API refuses others
                w_.object().key("name").plain(name).key("input_schema").object();
                w_.key("type").plain("object").key("properties").object().end().end().end();
            }
        }
        w_.end().key("messages").array();
        for (const Ask::Turn &turn : ask_.turns) {
            write_turn(turn);
        }
        w_.end().end();
        return std::string(out_.view());
    }

  private:
    void write_turn(const Ask::Turn &turn) {
        using Kind = Ask::Turn::Kind;
        w_.object().key("role").plain(turn.kind == Kind::user        ? "user"
                                      : turn.kind == Kind::assistant ? "assistant"
                                                                     : "system");
        w_.key("content");
        if (turn.calls.empty() && turn.results.empty() && !turn.as_parts) {
            w_.plain(turn.text).end();
            return;
        }
        w_.array();
        for (const Ask::Result &result : turn.results) {
            w_.object().key("type").plain("tool_result").key("tool_use_id").plain(result.id);
            w_.key("content").plain(result.text).end();
        }
        if (!turn.text.empty()) {
            w_.object().key("type").plain("text").key("text").plain(turn.text).end();
        }
        if (!turn.image.empty()) {
            w_.object().key("type").plain("image").key("source").object();
            w_.key("type").plain("url").key("url").plain(turn.image).end().end();
        }
        for (const Ask::Call &call : turn.calls) {
            bool is_cut = call.arguments == "{\"cut";
            w_.object().key("type").plain("tool_use").key("id").plain(call.id);
            w_.key("name").plain("look").key("input");
            w_.raw({is_cut ? std::string_view("{}") : std::string_view(call.arguments)}).end();
        }
        w_.end().end();
    }

    const Ask &ask_;
    ByteBuffer out_;
    json::Writer w_;
};

std::string request_of(const Ask &ask, Chance &) {
    return MessagesRequestWriter(ask).write();
}

// --- as a client ------------------------------------------------------------------------------

Answer read_stream(std::string_view bytes, const StreamExpectation &, Problems &problems) {
    return read_messages_stream(bytes, problems);
}

std::string finish_of(const Message &message) {
    const std::string &finish = message.finish;
    if (finish == "length") {
        return "max_tokens";
    }
    if (finish == "context_length") {
        return "model_context_window_exceeded";
    }
    if (finish == "content_filter" || finish == "refusal") {
        return "refusal";
    }
    if (finish == "pause") {
        return "pause_turn";
    }
    // Without any call (one that never got a name) there is nothing that the client could answer.
    bool is_done = finish == "tool_calls" || finish == "stop" || finish == "stop_sequence";
    if (is_done && !message.calls.empty()) {
        return "tool_use";
    }
    if (finish == "stop_sequence" && !message.stop_sequence.empty()) {
        return "stop_sequence";
    }
    return "end_turn";
}

std::string call_id_of(std::string_view id) {
    Arena arena;
    return plain(call_id_for_anthropic(json::escape(id, arena), arena));
}

}  // namespace

const DialectCheck kAnthropicCheck = {
    .id = DialectId::anthropic,
    .read_request = read_request,
    .fit = fit,
    .stream_of = stream_of,
    .body_of = body_of,
    .aims = kAims,
    .check_rules = check_messages_rules,
    .request_of = request_of,
    .read_stream = read_stream,
    .read_body = read_messages_body,
    .finish_of = finish_of,
    .has_one_choice = true,
    .reads_refusal_as_text = true,
    .counts_reasoning = false,
    .call_id_of = call_id_of,
};

}  // namespace llm::check
