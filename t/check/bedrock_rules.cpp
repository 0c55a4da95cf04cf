// The rules of Converse for a request; see the header.
#include "t/check/bedrock_rules.hpp"

#include <algorithm>
#include <set>

namespace llm::check {
namespace {

using json::Value;
using Names = std::set<std::string>;

bool is_name(std::string_view text) {
    bool is_good = !text.empty() && text.size() <= 64;
    for (char c : text) {
        is_good = is_good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '-');
    }
    return is_good;
}

bool is_document_name(std::string_view text) {
    constexpr std::string_view kOthers = " -()[]";
    bool is_good = !text.empty() && text.find("  ") == std::string_view::npos;
    for (char c : text) {
        is_good = is_good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || kOthers.find(c) != std::string_view::npos);
    }
    return is_good;
}

class ConverseRules {
  public:
    ConverseRules(Value root, const ModelTraits &traits, Problems &problems)
        : root_(root), traits_(traits), problems_(problems) {}

    void check() {
        only(root_, {"messages", "system", "inferenceConfig", "toolConfig", "outputConfig",
                     "additionalModelRequestFields", "requestMetadata", "serviceTier"});
        tools();
        for (Value block : root_["system"].items()) {
            mark(block);
            if (block["cachePoint"].absent() && json::is_blank(block["text"].text())) {
                refuse("a system block without text");
            }
        }
        inference();
        messages();
        if (marks_ > 4) {
            refuse("more than four cache points");
        }
        if (marks_ > 0 && !traits_.claude && !traits_.nova) {
            refuse("cache points at a model without a cache");
        }
    }

  private:
    void refuse(const std::string &why) {
        if (problems_.size() < 20) {
            problems_.push_back(why);
        }
    }

    void only(Value object, const Names &known) {
        for (auto [key, value] : object.members()) {
            if (known.count(plain(key)) == 0) {
                refuse("unknown member " + plain(key));
            }
        }
        if (!json::duplicate_key(object).empty()) {
            refuse("a member stands twice");
        }
    }

    void mark(Value block) {
        if (Value point = block["cachePoint"]; point.is_object()) {
            marks_++;
            if (!point["type"].equals("default")) {
                refuse("a cache point that is not default");
            }
        }
    }

    void tools() {
        Value config = root_["toolConfig"];
        if (config.absent()) {
            return;
        }
        only(config, {"tools", "toolChoice"});
        Names names;
        for (Value tool : config["tools"].items()) {
            mark(tool);
            Value spec = tool["toolSpec"];
            if (spec.absent()) {
                continue;
            }
            only(spec, {"name", "description", "inputSchema", "strict"});
            std::string name = plain(spec["name"].text());
            if (!is_name(name) || !names.insert(name).second) {
                refuse("the name of a tool: " + shown(name));
            }
            if (spec["description"].is_string() && spec["description"].text().empty()) {
                refuse("an empty description");
            }
            if (!spec["inputSchema"]["json"]["type"].equals("object")) {
                refuse("inputSchema is no object schema");
            }
        }
        if (names.empty()) {
            refuse("toolConfig without tools");
        }
        Value choice = config["toolChoice"];
        if (choice.absent()) {
            return;
        }
        is_forced_ = choice["auto"].absent();
        bool is_known =
            choice.size() == 1 && (choice["auto"].is_object() || choice["any"].is_object() ||
                                   names.count(plain(choice["tool"]["name"].text())) > 0);
        if (!is_known || (is_forced_ && !traits_.claude && !traits_.nova)) {
            refuse("toolChoice: " + shown(choice.raw().bytes));
        }
    }

    void inference() {
        Value config = root_["inferenceConfig"];
        only(config, {"maxTokens", "temperature", "topP", "stopSequences"});
        if (!config["maxTokens"].absent() && config["maxTokens"].as_int().value_or(0) < 1) {
            refuse("maxTokens out of range");
        }
        double temperature = config["temperature"].as_double().value_or(0.5);
        if (temperature < 0 || temperature > 1) {
            refuse("temperature out of range");
        }
        Value stops = config["stopSequences"];
        if (stops.size() > 4) {
            refuse("more than four stop sequences");
        }
        for (Value stop : stops.items()) {
            if (json::is_blank(stop.text())) {
                refuse("a blank stop sequence");
            }
        }
        Value thinking = root_["additionalModelRequestFields"]["thinking"];
        bool thinks = thinking["type"].equals("enabled") || thinking["type"].equals("adaptive");
        if (thinking["type"].equals("enabled")) {
            int64_t budget = thinking["budget_tokens"].as_int().value_or(0);
            if (budget < 1024 || budget >= config["maxTokens"].as_int().value_or(0)) {
                refuse("budget_tokens out of range");
            }
        }
        if (!thinking.absent() && !traits_.thinking) {
            refuse("thinking at a model without it");
        }
        if (thinks && (is_forced_ || config["temperature"].as_double().value_or(1) != 1)) {
            refuse("thinking beside a forced tool or a temperature");
        }
        if (traits_.rejects_sampling &&
            (!config["temperature"].absent() || !config["topP"].absent())) {
            refuse("sampling parameters at a model that takes none");
        }
    }

    void messages() {
        std::string before = "assistant";
        std::vector<std::string> open_calls;
        for (Value message : root_["messages"].items()) {
            std::string role = plain(message["role"].text());
            only(message, {"role", "content"});
            if (role == before || (role != "user" && role != "assistant")) {
                refuse("roles do not alternate, beginning with the user's");
            }
            if (message["content"].size() == 0) {
                refuse("a message without content");
            }
            content(message["content"], role, open_calls);
            before = role;
        }
        if (root_["messages"].size() == 0 || !open_calls.empty()) {
            refuse("no messages, or last calls without results");
        }
        if (before == "assistant" && !traits_.prefill) {
            refuse("a last turn of the assistant");
        }
        if (has_tool_blocks_ && root_["toolConfig"].absent()) {
            refuse("tool blocks without toolConfig");
        }
    }

    void content(Value blocks, const std::string &role, std::vector<std::string> &open_calls) {
        std::vector<std::string> calls;
        bool has_text = false;
        bool has_document = false;
        for (Value block : blocks.items()) {
            mark(block);
            if (block.size() != 1) {
                refuse("a block with more than one member, or none");
            }
            if (Value result = block["toolResult"]; result.is_object()) {
                this->result(result, role, open_calls);
                continue;
            }
            if (Value call = block["toolUse"]; call.is_object()) {
                has_tool_blocks_ = true;
                calls.push_back(plain(call["toolUseId"].text()));
                if (!is_name(calls.back()) || !is_name(plain(call["name"].text())) ||
                    !call["input"].is_object() || role != "assistant") {
                    refuse("a toolUse that is malformed");
                }
                continue;
            }
            has_text = has_text || block["text"].is_string();
            has_document = has_document || block["document"].is_object();
            media(block, role);
        }
        if (has_document && !has_text) {
            refuse("a document without text beside it");
        }
        if (!open_calls.empty()) {
            refuse("calls without results right behind them: " + shown(open_calls[0]));
        }
        open_calls = calls;
    }

    void result(Value result, const std::string &role, std::vector<std::string> &open_calls) {
        only(result, {"toolUseId", "content", "status"});
        std::string id = plain(result["toolUseId"].text());
        auto found = std::find(open_calls.begin(), open_calls.end(), id);
        if (found == open_calls.end() || role != "user") {
            refuse("a result without its call, or a second one: " + shown(id));
        } else {
            open_calls.erase(found);
        }
        if (result["content"].size() == 0) {
            refuse("a result without content");
        }
        if (!result["status"].absent() && !traits_.claude && !traits_.nova) {
            refuse("status at a model that does not know it");
        }
        for (Value part : result["content"].items()) {
            media(part, role);
        }
    }

    void media(Value block, const std::string &role) {
        if (block["text"].is_string() && json::is_blank(block["text"].text())) {
            refuse("a blank text block");
        }
        bool is_file = block["image"].is_object() || block["document"].is_object();
        if (is_file && role == "assistant") {
            refuse("a file of the assistant's");
        }
        for (std::string_view kind : {"image", "document", "video"}) {
            Value file = block[kind];
            bool has_source =
                file["source"]["bytes"].is_string() || file["source"]["s3Location"].is_object();
            if (file.is_object() && (!has_source || !file["format"].is_string())) {
                refuse("a file without source or format");
            }
        }
        if (Value document = block["document"]; document.is_object()) {
            std::string name = plain(document["name"].text());
            if (!is_document_name(name) || !names_.insert(name).second) {
                refuse("the name of a document: " + shown(name));
            }
        }
        if (Value thought = block["reasoningContent"]; thought.is_object()) {
            bool is_whole = thought["redactedContent"].is_string() ||
                            !thought["reasoningText"]["signature"].text().empty();
            if (!is_whole || role != "assistant") {
                refuse("a thought without a signature");
            }
        }
    }

    Value root_;
    const ModelTraits &traits_;
    Problems &problems_;
    Names names_;  // of documents
    size_t marks_ = 0;
    bool is_forced_ = false;
    bool has_tool_blocks_ = false;
};

}  // namespace

void check_converse_rules(Value root, const ModelTraits &traits, Problems &problems) {
    ConverseRules(root, traits, problems).check();
}

}  // namespace llm::check
