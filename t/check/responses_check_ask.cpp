// How clients of the Responses dialect write a conversation: as items, in any of their spellings.
#include "t/check/responses_check.hpp"
#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

class RequestWriter {
  public:
    RequestWriter(const Ask &ask, Chance &chance) : ask_(ask), chance_(chance), w_(out_) {}

    std::string write() {
        w_.object().key("model").plain("asked-for");
        bool is_instructed = !ask_.system.empty() && chance_.one_in(2);
        if (is_instructed) {
            w_.key("instructions").plain(ask_.system);
        }
        if (ask_.max_tokens > 0) {
            w_.key("max_output_tokens").number(ask_.max_tokens);
        }
        if (ask_.stream) {
            w_.key("stream").boolean(true);
        }
        if (!ask_.temperature.empty()) {
            w_.key("temperature").raw({ask_.temperature});
        }
        if (ask_.thinking) {
            w_.key("reasoning").object().key("effort").plain("medium");
            w_.key("summary").plain("auto").end();
        }
        if (chance_.one_in(2)) {
            w_.key("store").boolean(false).key("include").array();
            w_.plain("reasoning.encrypted_content").end();
        }
        if (ask_.has_unknown_member) {
            w_.key("x_vendor").object().key("a").raw({"1.50"}).end();
        }
        w_.key("tools").array();
        for (const std::string &name : ask_.tools) {
            w_.object().key("type").plain("function").key("name").plain(name);
            w_.key("parameters").object().key("type").plain("object");
            w_.key("properties").object().end().end().key("strict").boolean(false).end();
        }
        w_.end().key("input").array();
        if (!ask_.system.empty() && !is_instructed) {
            message(chance_.one_in(2) ? "system" : "developer", ask_.system);
        }
        for (const Ask::Turn &turn : ask_.turns) {
            write_turn(turn);
        }
        w_.end().end();
        return std::string(out_.view());
    }

  private:
    void begin(std::string_view role) {
        w_.object();
        if (chance_.one_in(2)) {
            w_.key("type").plain("message");
        }
        w_.key("role").plain(role).key("content");
    }

    void message(std::string_view role, const std::string &text) {
        begin(role);
        w_.plain(text).end();
    }

    void write_turn(const Ask::Turn &turn) {
        using Kind = Ask::Turn::Kind;
        for (const Ask::Result &result : turn.results) {
            w_.object().key("type").plain("function_call_output");
            w_.key("call_id").plain(result.id).key("output");
            if (chance_.one_in(2)) {
                w_.plain(result.text).end();
                continue;
            }
            w_.array().object().key("type").plain("input_text").key("text").plain(result.text);
            w_.end().end().end();
        }
        if (turn.calls.empty()) {
            bool is_assistant = turn.kind == Kind::assistant;
            std::string_view role = turn.kind == Kind::user ? "user"
                                    : is_assistant          ? "assistant"
                                                            : "system";
            if (!turn.as_parts) {
                message(role, turn.text);
                return;
            }
            begin(role);
            w_.array().object().key("type").plain(is_assistant ? "output_text" : "input_text");
            w_.key("text").plain(turn.text).end();
            if (!turn.image.empty()) {
                w_.object().key("type").plain("input_image").key("image_url").plain(turn.image);
                w_.end();
            }
            w_.end().end();
        }
        for (const Ask::Call &call : turn.calls) {
            w_.object().key("type").plain("function_call").key("call_id").plain(call.id);
            w_.key("name").plain(call.name).key("arguments").plain(call.arguments).end();
        }
    }

    const Ask &ask_;
    Chance &chance_;
    ByteBuffer out_;
    json::Writer w_;
};

}  // namespace

std::string responses_request_of(const Ask &ask, Chance &chance) {
    return RequestWriter(ask, chance).write();
}

}  // namespace llm::check
