// What the two APIs refuse, as their documentation and their error messages say.
#include <algorithm>
#include <set>

#include "t/check/request_checks.hpp"

namespace llm::check {
namespace {

using json::Value;
using Names = std::set<std::string>;

bool is_blank(Value text) {
    return json::is_blank(text.text());
}

bool is_name(std::string_view text, size_t most) {
    bool is_good = !text.empty() && text.size() <= most;
    for (char c : text) {
        is_good = is_good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '-');
    }
    return is_good;
}

class Rules {
  public:
    Rules(Value root, const ModelTraits &traits, Problems &problems)
        : root_(root), traits_(traits), problems_(problems) {}

  protected:
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

    Value root_;
    const ModelTraits &traits_;
    Problems &problems_;
};

// --- messages -------------------------------------------------------------------------------

class MessagesRules : Rules {
  public:
    using Rules::Rules;

    void check() {
        only(root_, {"model",         "messages",       "max_tokens",
                     "system",        "temperature",    "top_p",
                     "top_k",         "stop_sequences", "tools",
                     "tool_choice",   "thinking",       "output_config",
                     "metadata",      "service_tier",   "stream",
                     "cache_control", "container",      "context_management",
                     "mcp_servers",   "inference_geo",  "output_format",
                     "speed"},
             "the request");
        if (!root_["model"].is_string() || root_["max_tokens"].as_int().value_or(-1) < 0) {
            refuse("model or max_tokens is missing");
        }
        tools();
        system();
        sampling();
        messages();
        if (marks_ > 4) {
            refuse("more than four cache marks");
        }
    }

  private:
    void mark(Value object) {
        Value cache = object["cache_control"];
        marks_ += cache.is_object() ? 1 : 0;
        if (!cache.is_unset() && !cache["type"].equals("ephemeral")) {
            refuse("cache_control is not ephemeral");
        }
    }

    void tools() {
        Names names;
        for (Value tool : root_["tools"].items()) {
            mark(tool);
            std::string name = plain(tool["name"].text());
            bool is_custom = tool["type"].is_unset() || tool["type"].equals("custom");
            if (!names.insert(name).second && !name.empty()) {
                refuse("two tools of one name: " + name);
            }
            if (!is_custom) {
                continue;
            }
            only(tool,
                 {"name", "description", "input_schema", "cache_control", "strict", "type",
                  "eager_input_streaming", "allowed_callers", "defer_loading", "input_examples"},
                 "a tool");
            if (!is_name(name, 128)) {
                refuse("the name of a tool: " + shown(name));
            }
            if (!tool["input_schema"]["type"].equals("object")) {
                refuse("input_schema is no object schema");
            }
        }
        Value choice = root_["tool_choice"];
        if (choice.is_unset()) {
            return;
        }
        if (names.empty()) {
            refuse("tool_choice without tools");
        }
        std::string type = plain(choice["type"].text());
        if (type == "tool" ? names.count(plain(choice["name"].text())) == 0
                           : type != "auto" && type != "any" && type != "none") {
            refuse("tool_choice: " + shown(choice.raw().bytes));
        }
        is_forced_ = type == "any" || type == "tool";
        if (type == "none" && !choice["disable_parallel_tool_use"].absent()) {
            refuse("disable_parallel_tool_use with none");
        }
    }

    void system() {
        Value system = root_["system"];
        if (system.is_string() && is_blank(system)) {
            refuse("a blank system prompt");
        }
        for (Value block : system.items()) {
            mark(block);
            if (!block["type"].equals("text") || is_blank(block["text"])) {
                refuse("a system block without text");
            }
        }
    }

    void sampling() {
        Value thinking = root_["thinking"];
        bool is_enabled = thinking["type"].equals("enabled");
        is_thinking_ = is_enabled || thinking["type"].equals("adaptive");
        double temperature = root_["temperature"].as_double().value_or(0.5);
        if (temperature < 0 || temperature > 1) {
            refuse("temperature out of range");
        }
        if (is_enabled) {
            int64_t budget = thinking["budget_tokens"].as_int().value_or(0);
            if (budget < 1024 || budget >= root_["max_tokens"].as_int().value_or(0)) {
                refuse("budget_tokens out of range");
            }
        }
        if (is_thinking_ &&
            (root_["temperature"].as_double().value_or(1) != 1 || !root_["top_k"].is_unset() ||
             root_["top_p"].as_double().value_or(1) < 0.95)) {
            refuse("sampling parameters beside thinking");
        }
        if (is_thinking_ && is_forced_) {
            refuse("thinking with a forced tool");
        }
        if (is_thinking_ && !traits_.thinking) {
            refuse("thinking at a model without it");
        }
        bool has_temperature = !root_["temperature"].is_unset();
        bool has_top_p = !root_["top_p"].is_unset();
        if (traits_.rejects_sampling &&
            (has_temperature || has_top_p || !root_["top_k"].is_unset())) {
            refuse("sampling parameters at a model that takes none");
        }
        if (traits_.temperature_xor_top_p && has_temperature && has_top_p) {
            refuse("temperature and top_p");
        }
        for (Value stop : root_["stop_sequences"].items()) {
            if (!stop.is_string() || is_blank(stop)) {
                refuse("a blank stop sequence");
            }
        }
        if (!root_["output_config"]["format"].is_unset() && !traits_.structured_output) {
            refuse("output_config.format at a model without it");
        }
    }

    void messages() {
        Value messages = root_["messages"];
        if (messages.size() == 0) {
            refuse("no messages");
            return;
        }
        std::string before;
        std::vector<std::string> open_calls;
        Value last;
        bool is_first = true;
        for (Value message : messages.items()) {
            std::string role = plain(message["role"].text());
            only(message, {"role", "content"}, "a message");
            if (is_first && role != "user") {
                refuse("the first message is not the user's");
            }
            if (role == before) {
                refuse("two messages of one role");
            }
            bool is_known = role == "user" || role == "assistant" ||
                            (role == "system" && traits_.system_in_messages);
            if (!is_known) {
                refuse("role " + shown(role));
            }
            Value content = message["content"];
            if (content.is_string() ? is_blank(content) : content.size() == 0) {
                refuse("a message without content");
            }
            answers(message, role, open_calls);
            last = message;
            before = role;
            is_first = false;
        }
        if (!open_calls.empty()) {
            refuse("the last calls have no results");
        }
        if (before == "assistant") {
            if (!traits_.prefill) {
                refuse("a last turn of the assistant");
            }
            Value final = last["content"];
            for (Value block : final.items()) {
                final = block["type"].equals("text") ? block["text"] : Value();
            }
            std::string text = plain(final.text());
            if (!text.empty() &&
                std::string_view(" \t\r\n").find(text.back()) != std::string_view::npos) {
                refuse("final assistant content ends with white space");
            }
        }
    }

    // Results stand first in the message right behind their calls, one for each.
    void answers(Value message, const std::string &role, std::vector<std::string> &open_calls) {
        std::vector<std::string> calls;
        bool had_other = false;
        for (Value block : message["content"].items()) {
            mark(block);
            std::string type = plain(block["type"].text());
            if (type == "tool_result") {
                std::string id = plain(block["tool_use_id"].text());
                auto found = std::find(open_calls.begin(), open_calls.end(), id);
                if (found == open_calls.end()) {
                    refuse("a result without its call, or a second one: " + shown(id));
                } else {
                    open_calls.erase(found);
                }
                if (had_other || role != "user") {
                    refuse("results do not stand first");
                }
                result(block);
                continue;
            }
            had_other = true;
            if (type == "tool_use") {
                calls.push_back(plain(block["id"].text()));
                if (!is_name(calls.back(), 200) || !is_name(plain(block["name"].text()), 128) ||
                    !block["input"].is_object() || role != "assistant") {
                    refuse("a tool_use that is malformed");
                }
                if (std::count(calls.begin(), calls.end(), calls.back()) > 1) {
                    refuse("two calls of one id");
                }
            } else {
                content_block(block, type, role);
            }
        }
        if (!open_calls.empty()) {
            refuse("calls without results right behind them: " + shown(open_calls[0]));
        }
        open_calls = calls;
    }

    void result(Value block) {
        only(block, {"type", "tool_use_id", "content", "is_error", "cache_control"}, "a result");
        for (Value part : block["content"].items()) {
            content_block(part, plain(part["type"].text()), "tool_result");
        }
    }

    void content_block(Value block, const std::string &type, const std::string &role) {
        if (type == "text") {
            if (is_blank(block["text"])) {
                refuse("a blank text block");
            }
        } else if (type == "image" || type == "document") {
            if (!block["source"]["type"].is_string() || role == "assistant") {
                refuse(type + " without a source, or from the assistant");
            }
        } else if (type == "thinking") {
            if (block["signature"].text().empty() || role != "assistant") {
                refuse("thinking without a signature");
            }
        } else if (type == "redacted_thinking") {
            if (block["data"].text().empty() || role != "assistant") {
                refuse("redacted_thinking without data");
            }
        } else if (type.empty()) {
            refuse("a block without a type");
        }
    }

    size_t marks_ = 0;
    bool is_forced_ = false;
    bool is_thinking_ = false;
};

// --- chat -----------------------------------------------------------------------------------

class ChatRules : Rules {
  public:
    using Rules::Rules;

    void check(bool is_official) {
        is_official_ = is_official;
        if (is_official) {
            only(root_,
                 {"model",
                  "messages",
                  "max_tokens",
                  "max_completion_tokens",
                  "temperature",
                  "top_p",
                  "n",
                  "stream",
                  "stream_options",
                  "stop",
                  "presence_penalty",
                  "frequency_penalty",
                  "logit_bias",
                  "logprobs",
                  "top_logprobs",
                  "user",
                  "seed",
                  "tools",
                  "tool_choice",
                  "parallel_tool_calls",
                  "response_format",
                  "reasoning_effort",
                  "verbosity",
                  "metadata",
                  "store",
                  "service_tier",
                  "prompt_cache_key",
                  "prompt_cache_retention",
                  "safety_identifier",
                  "modalities",
                  "audio",
                  "prediction",
                  "web_search_options",
                  "functions",
                  "function_call",
                  "prompt_cache_options",
                  "moderation"},
                 "the request");
        }
        if (!root_["model"].is_string()) {
            refuse("model is missing");
        }
        if (!root_["max_tokens"].is_unset() && !root_["max_completion_tokens"].is_unset()) {
            refuse("max_tokens twice");
        }
        if (!root_["stream_options"].is_unset() && !root_["stream"].is_true()) {
            refuse("stream_options without stream");
        }
        if (root_["stop"].is_array() && root_["stop"].size() > 4) {
            refuse("more than four stop sequences");
        }
        tools();
        messages();
    }

  private:
    void tools() {
        Names names;
        for (Value tool : root_["tools"].items()) {
            Value function = tool["function"];
            std::string name = plain(function["name"].text());
            if (!tool["type"].equals("function")) {
                continue;
            }
            if (!is_name(name, 64) || !names.insert(name).second) {
                refuse("the name of a tool: " + shown(name));
            }
            if (is_official_) {
                only(tool, {"type", "function"}, "a tool");
                only(function, {"name", "description", "parameters", "strict"}, "a function");
            }
            if (!function["parameters"].is_unset() && !function["parameters"].is_object()) {
                refuse("parameters are no schema");
            }
        }
        if (!root_["tools"].absent() && root_["tools"].size() == 0) {
            refuse("an empty list of tools");
        }
        if (root_["tools"].size() == 0 &&
            (!root_["tool_choice"].is_unset() || !root_["parallel_tool_calls"].is_unset())) {
            refuse("tool_choice or parallel_tool_calls without tools");
        }
        Value choice = root_["tool_choice"];
        if (choice["type"].equals("function") &&
            names.count(plain(choice["function"]["name"].text())) == 0) {
            refuse("tool_choice names no tool");
        }
    }

    void messages() {
        if (root_["messages"].size() == 0) {
            refuse("no messages");
        }
        std::vector<std::string> open_calls;
        for (Value message : root_["messages"].items()) {
            std::string role = plain(message["role"].text());
            Value content = message["content"];
            if (role == "tool") {
                std::string id = plain(message["tool_call_id"].text());
                auto found = std::find(open_calls.begin(), open_calls.end(), id);
                if (found == open_calls.end()) {
                    refuse("a result without its call, or a second one: " + shown(id));
                } else {
                    open_calls.erase(found);
                }
                if (!content.is_string() && content.size() == 0) {
                    refuse("a result without content");
                }
                continue;
            }
            if (!open_calls.empty()) {
                refuse("calls without results right behind them: " + shown(open_calls[0]));
                open_calls.clear();
            }
            if (role == "assistant") {
                assistant(message, open_calls);
            } else if (role != "user" && role != "system" && role != "developer") {
                refuse("role " + shown(role));
            } else if (!content.is_string() && content.size() == 0) {
                refuse("a message without content");
            }
            parts(content, role);
        }
        if (!open_calls.empty()) {
            refuse("the last calls have no results");
        }
    }

    void assistant(Value message, std::vector<std::string> &open_calls) {
        if (is_official_) {
            only(message,
                 {"role", "content", "refusal", "tool_calls", "name", "audio", "function_call"},
                 "an assistant message");
        }
        Value calls = message["tool_calls"];
        if (!calls.absent() && calls.size() == 0) {
            refuse("an empty list of calls");
        }
        if (calls.size() == 0 && message["content"].is_unset() && message["refusal"].is_unset() &&
            message["audio"].is_unset() && message["function_call"].is_unset()) {
            refuse("an assistant message that says nothing");
        }
        for (Value call : calls.items()) {
            std::string id = plain(call["id"].text());
            if (id.empty() || (is_official_ && id.size() > 40)) {
                refuse("the id of a call: " + shown(id));
            }
            if (std::find(open_calls.begin(), open_calls.end(), id) != open_calls.end()) {
                refuse("two calls of one id: " + shown(id));
            }
            open_calls.push_back(id);
            Value function = call["function"];
            if (call["type"].equals("function") && (!is_name(plain(function["name"].text()), 64) ||
                                                    !function["arguments"].is_string())) {
                refuse("a call that is malformed");
            }
        }
    }

    void parts(Value content, const std::string &role) {
        for (Value part : content.items()) {
            std::string type = plain(part["type"].text());
            if (type == "text" && part["text"].text().empty()) {
                refuse("an empty text part");
            }
            if (type == "image_url" &&
                (part["image_url"]["url"].text().empty() || role == "assistant")) {
                refuse("an image without address, or from the assistant");
            }
            if (type != "text" && type != "image_url" && type != "input_audio" && type != "file" &&
                type != "refusal" && is_official_) {
                refuse("a part of type " + shown(type));
            }
        }
    }

    bool is_official_ = false;
};

}  // namespace

void check_messages_rules(Value root, const ModelTraits &traits, Problems &problems) {
    MessagesRules(root, traits, problems).check();
}

void check_chat_rules(Value root, const ModelTraits &traits, Problems &problems) {
    ChatRules(root, traits, problems).check(traits.max_completion_tokens);
}

}  // namespace llm::check
