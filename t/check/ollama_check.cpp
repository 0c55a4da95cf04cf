// Ollama's /api/chat, for the checkers: how it sends answers, what it refuses or passes over.
#include <set>

#include "t/check/dialect_check.hpp"
#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

using json::Value;
using Kind = Scenario::Block::Kind;

// --- as a provider ----------------------------------------------------------------------------

class OllamaWriter {
  public:
    explicit OllamaWriter(const Scenario &from) : from_(from), chance_(from.seed + 1) {}

    std::string stream() {
        for (size_t i = 0; i < from_.blocks.size(); i++) {
            const Scenario::Block &block = from_.blocks[i];
            if (block.kind == Kind::call) {
                // Parallel calls stand in one line, or in one each.
                size_t end = i + 1;
                while (from_.seed % 2 == 0 && end < from_.blocks.size() &&
                       from_.blocks[end].kind == Kind::call) {
                    end++;
                }
                line([&](json::Writer &w) {
                    w.key("content").plain("");
                    calls(w, i, end);
                });
                i = end - 1;
                continue;
            }
            for (const std::string &piece : pieces(chance_, block.text)) {
                line([&](json::Writer &w) {
                    w.key("content").text({block.kind == Kind::text ? piece : ""});
                    if (block.kind == Kind::reasoning) {
                        w.key("thinking").text({piece});
                    }
                });
            }
        }
        json::Writer w(out_);
        head(w);
        if (!chance_.one_in(4)) {
            w.key("message").object().key("role").plain("assistant").key("content").plain("");
            w.end();
        }
        tail(w);
        w.end();
        out_.append('\n');
        return std::string(out_.view());
    }

    std::string body() {
        json::Writer w(out_);
        head(w);
        w.key("message").object().key("role").plain("assistant");
        std::string text, thinking;
        bool has_calls = false;
        for (const Scenario::Block &block : from_.blocks) {
            has_calls = has_calls || block.kind == Kind::call;
            if (block.kind != Kind::call) {
                (block.kind == Kind::text ? text : thinking) += block.text;
            }
        }
        w.key("content").plain(text);
        if (!thinking.empty()) {
            w.key("thinking").plain(thinking);
        }
        if (has_calls) {
            calls(w, 0, from_.blocks.size());
        }
        w.end();
        tail(w);
        w.end();
        return std::string(out_.view());
    }

  private:
    void head(json::Writer &w) {
        w.object().key("model").plain("llama-x");
        w.key("created_at").plain("2025-07-07T20:22:19.184789Z");
    }

    void tail(json::Writer &w) {
        bool is_cut = from_.finish == ir::Finish::length;
        w.key("done_reason").plain(is_cut ? "length" : "stop").key("done").boolean(true);
        w.key("total_duration").number(182242375);
        w.key("prompt_eval_count").number(from_.input).key("eval_count").number(from_.output);
    }

    template <class Message>
    void line(Message message) {
        json::Writer w(out_);
        head(w);
        w.key("message").object().key("role").plain("assistant");
        message(w);
        w.end().key("done").boolean(false).end();
        out_.append('\n');
    }

    // Newer servers give calls an id.
    void calls(json::Writer &w, size_t from, size_t to) {
        w.key("tool_calls").array();
        for (size_t i = from; i < to; i++) {
            const Scenario::Block &block = from_.blocks[i];
            if (block.kind != Kind::call) {
                continue;
            }
            w.object();
            if (from_.seed % 3 == 0) {
                w.key("id").plain(block.id);
            }
            w.key("function").object().key("index").number(0).key("name").plain(block.name);
            w.key("arguments").raw({block.text}).end().end();
        }
        w.end();
    }

    const Scenario &from_;
    Chance chance_;
    ByteBuffer out_;
};

void fit(Scenario &scenario, Chance &) {
    std::vector<Scenario::Block> kept;
    bool has_calls = false;
    for (Scenario::Block &block : scenario.blocks) {
        has_calls = has_calls || block.kind == Kind::call;
        // One text before the calls; nothing is signed.
        if (block.kind == Kind::redacted || (block.kind != Kind::call && has_calls) ||
            (block.kind == Kind::reasoning && block.text.empty())) {
            continue;
        }
        block.signature.clear();
        kept.push_back(block);
    }
    scenario.blocks = kept;
    if (scenario.finish == ir::Finish::stop_sequence) {
        scenario.finish = ir::Finish::stop;
    }
    scenario.stop_sequence.clear();
    scenario.cache_read = scenario.cache_write = scenario.reasoning = 0;
}

std::string stream_of(const Scenario &scenario) {
    return OllamaWriter(scenario).stream();
}

std::string body_of(const Scenario &scenario) {
    return OllamaWriter(scenario).body();
}

std::vector<size_t> frame_ends(std::string_view stream) {
    std::vector<size_t> ends;
    for (size_t at = stream.find('\n'); at != std::string_view::npos;
         at = stream.find('\n', at + 1)) {
        ends.push_back(at + 1);
    }
    return ends;
}

// --- requests ---------------------------------------------------------------------------------

constexpr Aim kAims[] = {
    {DialectId::ollama, "llama3.2", false},
    {DialectId::ollama, "gpt-oss:20b", false},
};

Said read_request(Value root) {
    Said said;
    for (Value message : root["messages"].items()) {
        Value role = message["role"];
        for (Value image : message["images"].items()) {
            said.images.push_back(plain(image.text()));
        }
        if (role.equals("tool")) {
            said.results.push_back(
                {plain(message["tool_call_id"].text()), plain(message["content"].text())});
            continue;
        }
        add_text(role.equals("assistant") ? said.assistant
                 : role.equals("user")    ? said.user
                                          : said.system,
                 message["content"]);
        for (Value call : message["tool_calls"].items()) {
            Value function = call["function"];
            said.calls.push_back({plain(call["id"].text()), plain(function["name"].text()),
                                  std::string(function["arguments"].raw().bytes)});
        }
    }
    return said;
}

void check_rules(Value root, const ModelTraits &traits, Problems &problems) {
    auto refuse = [&](const std::string &why) { problems.push_back(why); };
    auto only = [&](Value object, const std::set<std::string> &known, const std::string &where) {
        for (auto [key, value] : object.members()) {
            if (known.count(plain(key)) == 0) {
                refuse("unknown member " + plain(key) + " in " + where);
            }
        }
        if (!json::duplicate_key(object).empty()) {
            refuse("a member stands twice in " + where);
        }
    };
    only(root,
         {"model", "messages", "tools", "stream", "format", "think", "options", "keep_alive",
          "truncate", "logprobs", "top_logprobs"},
         "the request");
    if (!root["model"].is_string() || root["messages"].size() == 0) {
        refuse("no model, or no messages");
    }
    if (!root["stream"].is_bool()) {
        refuse("stream is not said");
    }
    Value think = root["think"];
    if (!think.is_unset() && (!traits.thinking || (traits.thinking_level && think.is_bool()))) {
        refuse("think as the model does not take it");
    }
    std::set<std::string> names;
    for (Value tool : root["tools"].items()) {
        if (!names.insert(plain(tool["function"]["name"].text())).second ||
            !tool["function"]["parameters"]["type"].equals("object")) {
            refuse("a tool that is malformed");
        }
    }
    for (Value message : root["messages"].items()) {
        Value role = message["role"];
        only(message,
             {"role", "content", "images", "thinking", "tool_calls", "tool_name", "tool_call_id"},
             "a message");
        if (!message["content"].is_string()) {
            refuse("content that is no string");
        }
        if (!role.equals("system") && !role.equals("user") && !role.equals("assistant") &&
            !role.equals("tool")) {
            refuse("role " + shown(role.text().bytes));
        }
        if (role.equals("tool") && message["tool_name"].text().empty()) {
            refuse("a result without the name of its tool");
        }
        for (Value image : message["images"].items()) {
            if (image.text().empty() || image.text().bytes.find(':') != std::string_view::npos) {
                refuse("an image that is no bare base64");
            }
        }
        for (Value call : message["tool_calls"].items()) {
            if (!call["function"]["arguments"].is_object() ||
                call["function"]["name"].text().empty()) {
                refuse("a call that is malformed");
            }
        }
    }
}

}  // namespace

const DialectCheck kOllamaCheck = {
    .id = DialectId::ollama,
    .read_request = read_request,
    .fit = fit,
    .stream_of = stream_of,
    .body_of = body_of,
    .frame_ends = frame_ends,
    .aims = kAims,
    .check_rules = check_rules,
};

}  // namespace llm::check
