// Responses as a provider, for the checkers: how its services send answers, and what the API
// refuses. Services differ in what they leave out and repeat: chance decides, the answer is the
// same.
#include <algorithm>
#include <set>

#include "t/check/responses_check.hpp"
#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

using json::Value;
using Kind = Scenario::Block::Kind;

// --- answers ----------------------------------------------------------------------------------

class AnswerWriter {
  public:
    explicit AnswerWriter(const Scenario &from) : from_(from), chance_(from.seed + 1) {}

    std::string stream() {
        says_parts_ = !chance_.one_in(4);
        repeats_ = !chance_.one_in(4);
        rotates_ids_ = chance_.one_in(4);
        lifecycle("response.created", "in_progress");
        if (!chance_.one_in(4)) {
            lifecycle("response.in_progress", "in_progress");
        }
        for (size_t i = 0; i < from_.blocks.size(); i++) {
            // One service announces the message before the thoughts are done.
            bool is_early = i + 1 < from_.blocks.size() && chance_.one_in(4);
            item_added(i);
            if (is_early) {
                item_added(i + 1);
            }
            content(i);
            item_done(i);
            if (is_early) {
                content(i + 1);
                item_done(i + 1);
                i++;
            }
        }
        lifecycle(is_cut() ? "response.incomplete" : "response.completed",
                  is_cut() ? "incomplete" : "completed");
        if (chance_.one_in(4)) {
            out_.append("data: [DONE]\n\n");
        }
        return std::string(out_.view());
    }

    std::string body() {
        json::Writer w(out_);
        response(w, is_cut() ? "incomplete" : "completed");
        return std::string(out_.view());
    }

  private:
    bool is_cut() const { return from_.finish == ir::Finish::length; }

    template <class Rest>
    void event(std::string_view type, Rest rest) {
        out_.append("event: ");
        out_.append(type);
        out_.append("\ndata: ");
        json::Writer w(out_);
        w.object().key("type").plain(type);
        rest(w);
        w.key("sequence_number").number(sequence_++).end();
        out_.append("\n\n");
    }

    void lifecycle(std::string_view type, std::string_view status) {
        event(type, [&](json::Writer &w) {
            w.key("response");
            response(w, status);
        });
    }

    void response(json::Writer &w, std::string_view status) {
        bool is_over = status != "in_progress";
        w.object().key("id").plain("resp_x").key("object").plain("response");
        w.key("created_at").raw({chance_.one_in(4) ? "1690000000.25" : "1690000000"});
        w.key("status").plain(status).key("error").null().key("incomplete_details");
        if (status == "incomplete") {
            w.object().key("reason").plain("max_output_tokens").end();
        } else {
            w.null();
        }
        w.key("model").plain("gpt-x").key("output").array();
        for (size_t i = 0; is_over && i < from_.blocks.size(); i++) {
            item(w, i, true);
        }
        w.end().key("parallel_tool_calls").boolean(true).key("tools").array().end().key("usage");
        if (is_over) {
            usage(w);
        } else {
            w.null();
        }
        w.end();
    }

    void usage(json::Writer &w) {
        w.object().key("input_tokens").number(from_.input);
        w.key("input_tokens_details").object().key("cached_tokens").number(from_.cache_read);
        w.key("cache_write_tokens").number(from_.cache_write).end();
        w.key("output_tokens").number(from_.output);
        w.key("output_tokens_details").object();
        w.key("reasoning_tokens").number(from_.reasoning).end();
        w.key("total_tokens").number(from_.input + from_.output).end();
    }

    void id(json::Writer &w, std::string_view name, size_t index) {
        std::string made = "item_" + std::to_string(index);
        if (rotates_ids_) {
            made += "_" + std::to_string(sequence_);
        }
        w.key(name).plain(made);
    }

    void item(json::Writer &w, size_t index, bool is_whole) {
        const Scenario::Block &block = from_.blocks[index];
        w.object();
        id(w, "id", index);
        switch (block.kind) {
            case Kind::text:
                w.key("type").plain("message").key("role").plain("assistant");
                w.key("content").array();
                if (is_whole) {
                    part(w, block, block.text);
                }
                w.end();
                break;
            case Kind::reasoning:
            case Kind::redacted:
                w.key("type").plain("reasoning").key("summary").array();
                if (is_whole && !block.text.empty()) {
                    part(w, block, block.text);
                }
                w.end().key("encrypted_content");
                w.plain(is_whole ? block.signature : "as it is so far");
                break;
            case Kind::call:
                w.key("type").plain("function_call").key("call_id").plain(block.id);
                w.key("name").plain(block.name);
                w.key("arguments").plain(is_whole ? block.text : "");
                break;
        }
        w.key("status").plain(is_whole ? "completed" : "in_progress").end();
    }

    void part(json::Writer &w, const Scenario::Block &block, std::string_view text) {
        bool is_text = block.kind == Kind::text;
        w.object().key("type").plain(is_text ? "output_text" : "summary_text");
        w.key("text").plain(text);
        if (is_text) {
            w.key("annotations").array().end().key("logprobs").array().end();
        }
        w.end();
    }

    void item_added(size_t index) {
        event("response.output_item.added", [&](json::Writer &w) {
            w.key("output_index").number(int64_t(index)).key("item");
            item(w, index, false);
        });
    }

    void item_done(size_t index) {
        event("response.output_item.done", [&](json::Writer &w) {
            w.key("output_index").number(int64_t(index)).key("item");
            item(w, index, true);
        });
    }

    void content(size_t index) {
        const Scenario::Block &block = from_.blocks[index];
        if (block.kind == Kind::reasoning && block.text.empty()) {
            return;
        }
        bool is_call = block.kind == Kind::call;
        bool is_text = block.kind == Kind::text;
        std::string name = is_call   ? "response.function_call_arguments"
                           : is_text ? "response.output_text"
                                     : "response.reasoning_summary_text";
        std::string part_name =
            is_text ? "response.content_part" : "response.reasoning_summary_part";
        auto place = [&](json::Writer &w) {
            id(w, "item_id", index);
            w.key("output_index").number(int64_t(index));
            if (!is_call) {
                w.key(is_text ? "content_index" : "summary_index").number(0);
            }
        };
        auto whole_part = [&](std::string_view suffix, std::string_view text) {
            if (!is_call && says_parts_) {
                event(part_name + std::string(suffix), [&](json::Writer &w) {
                    place(w);
                    w.key("part");
                    part(w, block, text);
                });
            }
        };
        whole_part(".added", "");
        if (!is_call || !chance_.one_in(4)) {  // some send arguments only when they are whole
            for (const std::string &piece : pieces(chance_, block.text)) {
                event(name + ".delta", [&](json::Writer &w) {
                    place(w);
                    w.key("delta").text({piece});
                });
            }
        }
        if (repeats_) {
            event(name + ".done", [&](json::Writer &w) {
                place(w);
                w.key(is_call ? "arguments" : "text").plain(block.text);
            });
        }
        whole_part(".done", block.text);
    }

    const Scenario &from_;
    Chance chance_;
    ByteBuffer out_;
    int64_t sequence_ = 0;
    bool says_parts_ = true;
    bool repeats_ = true;
    bool rotates_ids_ = false;
};

// --- rules ------------------------------------------------------------------------------------

using Names = std::set<std::string>;

class RequestRules {
  public:
    RequestRules(Value root, const ModelTraits &traits, Problems &problems)
        : root_(root), traits_(traits), problems_(problems) {}

    void check() {
        only(root_,
             {"model",
              "input",
              "instructions",
              "max_output_tokens",
              "temperature",
              "top_p",
              "top_logprobs",
              "truncation",
              "tools",
              "tool_choice",
              "parallel_tool_calls",
              "max_tool_calls",
              "text",
              "reasoning",
              "include",
              "store",
              "previous_response_id",
              "conversation",
              "background",
              "prompt",
              "context_management",
              "service_tier",
              "user",
              "safety_identifier",
              "prompt_cache_key",
              "prompt_cache_retention",
              "prompt_cache_options",
              "metadata",
              "moderation",
              "stream",
              "stream_options"},
             "the request");
        if (!root_["model"].is_string()) {
            refuse("model is missing");
        }
        if (root_["max_output_tokens"].is_number() &&
            root_["max_output_tokens"].as_int().value_or(16) < 16) {
            refuse("max_output_tokens below 16");
        }
        if (root_["instructions"].is_string() && root_["instructions"].text().empty()) {
            refuse("empty instructions");
        }
        if (!root_["store"].is_bool()) {
            refuse("store is not said: the default keeps the answer");
        }
        only(root_["text"], {"format", "verbosity"}, "text");
        only(root_["reasoning"], {"effort", "summary"}, "reasoning");
        tools();
        input();
    }

  private:
    void refuse(const std::string &why) {
        if (problems_.size() < 20) {
            problems_.push_back(why);
        }
    }

    void only(Value object, const Names &known, const std::string &where) {
        for (auto [key, value] : object.members()) {
            if (known.count(plain(key)) == 0) {
                refuse("unknown member " + plain(key) + " in " + where);
            }
        }
        if (!json::duplicate_key(object).empty()) {
            refuse("a member stands twice in " + where);
        }
    }

    void tools() {
        Names names;
        for (Value tool : root_["tools"].items()) {
            std::string name = plain(tool["name"].text());
            bool is_function = tool["type"].equals("function");
            if (!is_function && !tool["type"].equals("custom")) {
                refuse("a tool of type " + shown(plain(tool["type"].text())));
                continue;
            }
            bool is_good = !name.empty() && name.size() <= 64;
            for (char c : name) {
                is_good = is_good &&
                          (isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-');
            }
            if (!is_good || !names.insert(name).second) {
                refuse("the name of a tool: " + shown(name));
            }
            if (is_function) {
                only(tool, {"type", "name", "description", "parameters", "strict"}, "a tool");
                if (!tool["parameters"].is_object() || !tool["strict"].is_bool()) {
                    refuse("a function without parameters or strict");
                }
            } else {
                only(tool, {"type", "name", "description", "format"}, "a tool");
            }
        }
        if (!root_["tools"].absent() && root_["tools"].size() == 0) {
            refuse("an empty list of tools");
        }
        Value choice = root_["tool_choice"];
        if (names.empty() && (!choice.is_unset() || !root_["parallel_tool_calls"].is_unset())) {
            refuse("tool_choice or parallel_tool_calls without tools");
        }
        if (choice["name"].is_string() && names.count(plain(choice["name"].text())) == 0) {
            refuse("tool_choice names no tool");
        }
    }

    void input() {
        if (root_["input"].size() == 0) {
            refuse("no input");
        }
        std::vector<std::string> open_calls;
        bool needs_output = false;  // of the model, behind reasoning
        for (Value item : root_["input"].items()) {
            std::string type = plain(item["type"].text());
            std::string id = plain(item["call_id"].text());
            if (type == "function_call_output" || type == "custom_tool_call_output") {
                auto found = std::find(open_calls.begin(), open_calls.end(), id);
                if (found == open_calls.end()) {
                    refuse("an output without its call, or a second one: " + shown(id));
                } else {
                    open_calls.erase(found);
                }
                only(item, {"type", "call_id", "output"}, "an output");
                content(item["output"], "user");
                continue;
            }
            bool is_call = type == "function_call" || type == "custom_tool_call";
            bool is_assistant = is_call || item["role"].equals("assistant");
            if (needs_output && !is_assistant && type != "reasoning") {
                refuse("reasoning without what it led to");
            }
            needs_output = type == "reasoning";
            if (type == "message") {
                message(item);
            } else if (is_call) {
                only(item, {"type", "call_id", "name", "arguments", "input"}, "a call");
                if (id.empty() || id.size() > 64 ||
                    !item[type == "function_call" ? "arguments" : "input"].is_string()) {
                    refuse("a call without id or arguments, or with a long id: " + shown(id));
                }
                open_calls.push_back(id);
            } else if (type == "reasoning") {
                only(item, {"type", "id", "summary", "encrypted_content"}, "reasoning");
                if (!item["summary"].is_array() || item["encrypted_content"].text().empty()) {
                    refuse("reasoning that was not stored, without its content");
                }
            } else {
                refuse("an item of type " + shown(type));
            }
        }
        if (needs_output) {
            refuse("reasoning without what it led to");
        }
        if (!open_calls.empty()) {
            refuse("a call without an output: " + shown(open_calls[0]));
        }
    }

    void message(Value item) {
        only(item, {"type", "role", "content"}, "a message");
        std::string role = plain(item["role"].text());
        if (role != "user" && role != "assistant" &&
            role != (traits_.developer_role ? "developer" : "system")) {
            refuse("role " + shown(role));
        }
        if (item["content"].size() == 0) {
            refuse("a message without content");
        }
        content(item["content"], role);
    }

    void content(Value content, const std::string &role) {
        bool is_assistant = role == "assistant";
        for (Value part : content.items()) {
            std::string type = plain(part["type"].text());
            bool is_text = type == (is_assistant ? "output_text" : "input_text");
            bool is_known =
                is_text || (is_assistant ? type == "refusal"
                                         : type == "input_image" || type == "input_file" ||
                                               type == "input_audio");
            if (!is_known || (role != "user" && !is_assistant && !is_text)) {
                refuse("a part of type " + shown(type) + " in a message of the " + role);
            }
            if (is_text && part["text"].text().empty()) {
                refuse("an empty text part");
            }
            if (type == "input_image" && part["image_url"].text().empty() &&
                part["file_id"].text().empty()) {
                refuse("an image without address");
            }
        }
    }

    Value root_;
    const ModelTraits &traits_;
    Problems &problems_;
};

constexpr Aim kModels[] = {
    {DialectId::responses, "gpt-4.1", true},
    {DialectId::responses, "gpt-5-mini", true},
    {DialectId::responses, "grok-4", false},
};

void read_content(Value content, std::vector<std::string> &texts, Said &said) {
    add_text(texts, content);
    for (Value part : content.items()) {
        add_text(texts, part["text"]);
        add_text(texts, part["refusal"]);
        if (part["type"].equals("input_image")) {
            std::string url = plain(part["image_url"].text());
            size_t comma = url.find(";base64,");
            bool is_data = url.starts_with("data:") && comma != std::string::npos;
            said.images.push_back(is_data ? url.substr(comma + 8) : url);
        }
        said.documents += part["type"].equals("input_file") ? 1 : 0;
    }
}

}  // namespace

const std::span<const Aim> kResponsesAims = kModels;

void fit_responses(Scenario &scenario, Chance &) {
    std::erase_if(scenario.blocks,
                  [](const Scenario::Block &block) { return block.kind == Kind::redacted; });
    if (scenario.finish == ir::Finish::stop_sequence) {
        scenario.finish = ir::Finish::stop;
        scenario.stop_sequence.clear();
    }
}

std::string responses_stream_of(const Scenario &scenario) {
    return AnswerWriter(scenario).stream();
}

std::string responses_body_of(const Scenario &scenario) {
    return AnswerWriter(scenario).body();
}

void check_responses_rules(Value root, const ModelTraits &traits, Problems &problems) {
    RequestRules(root, traits, problems).check();
}

Said read_responses_request(Value root) {
    Said said;
    add_text(said.system, root["instructions"]);
    add_text(said.user, root["input"]);
    for (Value item : root["input"].items()) {
        Value type = item["type"];
        Value role = item["role"];
        if (type.equals("function_call") || type.equals("custom_tool_call")) {
            Value text = item[type.equals("function_call") ? "arguments" : "input"];
            said.calls.push_back(
                {plain(item["call_id"].text()), plain(item["name"].text()), plain(text.text())});
        } else if (type.equals("function_call_output") || type.equals("custom_tool_call_output")) {
            std::vector<std::string> texts;
            read_content(item["output"], texts, said);
            std::string all;
            for (const std::string &text : texts) {
                all += text;
            }
            said.results.push_back({plain(item["call_id"].text()), all});
        } else if (type.is_unset() || type.equals("message")) {
            read_content(item["content"],
                         role.equals("assistant") ? said.assistant
                         : role.equals("user")    ? said.user
                                                  : said.system,
                         said);
        }
    }
    return said;
}

}  // namespace llm::check
