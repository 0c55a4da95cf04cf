// Reads Responses answers as the strictest of their clients do: every event numbered, every item
// and part added before it grows and done once, and what is repeated always the same.
#include "t/check/responses_check.hpp"

#include "translators/dialect/opaque_tag.hpp"

namespace llm::check {
namespace {

using json::Value;

constexpr json::Limits kLimits = {.allow_lone_surrogates = true};

constexpr std::string_view kMembers[] = {
    "id",
    "object",
    "created_at",
    "status",
    "background",
    "error",
    "incomplete_details",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "model",
    "output",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "usage",
    "user",
    "metadata",
};

// The members that every response object has, whatever its status.
void check_object(Value response, Problems &problems) {
    for (std::string_view member : kMembers) {
        if (response[member].absent()) {
            problems.push_back("the response object lacks " + std::string(member));
        }
    }
    if (!response["object"].equals("response") || response["id"].text().empty() ||
        !response["id"].text().bytes.starts_with("resp_") || !response["created_at"].as_int() ||
        !response["model"].is_string() || !response["output"].is_array() ||
        !response["tools"].is_array() || !response["metadata"].is_object() ||
        !response["text"]["format"]["type"].is_string() ||
        response["reasoning"]["summary"].absent()) {
        problems.push_back("a member of the response object has the wrong type");
    }
    if (!json::duplicate_key(response).empty()) {
        problems.push_back("a member stands twice in the response object");
    }
}

Usage usage_of(Value usage, Problems &problems) {
    Usage read;
    if (!usage.is_object()) {
        return read;
    }
    auto count = [&](Value value) {
        if (!value.as_int() || *value.as_int() < 0) {
            problems.push_back("usage lacks a count");
        }
        return value.as_int().value_or(0);
    };
    read.known = true;
    read.input = count(usage["input_tokens"]);
    read.cache_read = count(usage["input_tokens_details"]["cached_tokens"]);
    read.cache_write = count(usage["input_tokens_details"]["cache_write_tokens"]);
    read.output = count(usage["output_tokens"]);
    read.reasoning = count(usage["output_tokens_details"]["reasoning_tokens"]);
    if (count(usage["total_tokens"]) != read.input + read.output) {
        problems.push_back("total_tokens is not the sum");
    }
    return read;
}

void read_encrypted(const std::string &sent, Message &message) {
    TaggedOpaque opaque = read_opaque({sent}, DialectId::responses);
    constexpr std::string_view kRedacted = "redacted.";
    bool is_redacted =
        opaque.origin != DialectId::responses && opaque.data.bytes.starts_with(kRedacted);
    if (is_redacted) {
        message.redacted.push_back(std::string(opaque_tag(opaque.origin)) +
                                   std::string(opaque.data.bytes.substr(kRedacted.size())));
    } else {
        message.signatures.push_back(sent);
    }
}

// A whole item as it stands in output_item.done and in the last object.
void read_item(Value item, Message &message, Problems &problems) {
    Value type = item["type"];
    bool is_own_raw = false;
    if (type.equals("message")) {
        for (Value part : item["content"].items()) {
            if (part["type"].equals("output_text") && part["annotations"].is_array() &&
                part["logprobs"].is_array()) {
                message.text += plain(part["text"].text());
                message.spoken += plain(part["text"].text());
            } else if (part["type"].equals("refusal")) {
                message.refusal += plain(part["refusal"].text());
                message.spoken += plain(part["refusal"].text());
            } else {
                problems.push_back("a part of a message is malformed: " + shown(part.raw().bytes));
            }
        }
        if (!item["role"].equals("assistant") || item["content"].size() == 0) {
            problems.push_back("a message without role or content");
        }
    } else if (type.equals("reasoning")) {
        for (Value part : item["summary"].items()) {
            message.reasoning += plain(part["text"].text());
        }
        if (!item["summary"].is_array()) {
            problems.push_back("reasoning without a summary");
        }
        if (item["encrypted_content"].is_string()) {
            read_encrypted(plain(item["encrypted_content"].text()), message);
        }
    } else if (type.equals("function_call") || type.equals("custom_tool_call")) {
        bool is_custom = type.equals("custom_tool_call");
        Call call{plain(item["call_id"].text()), plain(item["name"].text()),
                  plain(item[is_custom ? "input" : "arguments"].text())};
        if (call.id.empty() || call.name.empty() || (!is_custom && call.arguments.empty())) {
            problems.push_back("a call without call_id, name or arguments");
        }
        for (const Call &other : message.calls) {
            if (other.id == call.id) {
                problems.push_back("two calls of one id: " + shown(call.id));
            }
        }
        message.calls.push_back(call);
    } else {
        is_own_raw = true;
        message.server_blocks += type.equals("image_generation_call") ? 0 : 1;
    }
    bool has_status = type.equals("reasoning") || is_own_raw ||
                      item["status"].equals("completed") || item["status"].equals("incomplete");
    if (item["id"].text().empty() || !type.is_string() || !has_status) {
        problems.push_back("an item without id, type or status");
    }
}

// What the last object says, and whether its parts agree.
void read_object(Value response, Answer &answer, Problems &problems) {
    check_object(response, problems);
    answer.id = plain(response["id"].text());
    answer.model = plain(response["model"].text());
    answer.usage = usage_of(response["usage"], problems);
    Message &message = answer.choices[0];
    for (Value item : response["output"].items()) {
        read_item(item, message, problems);
    }
    std::string status = plain(response["status"].text());
    Value reason = response["incomplete_details"]["reason"];
    if ((status == "incomplete") != reason.is_string() ||
        (status == "failed") != response["error"]["code"].is_string()) {
        problems.push_back("status, incomplete_details and error disagree");
    }
    message.finish = reason.is_string() ? plain(reason.text()) : status;
}

struct Part {
    std::string type;
    std::string text;  // escaped
    size_t annotations = 0;
    bool is_text_done = false;
    bool is_done = false;
};

struct Item {
    std::string id;
    std::string type;
    std::vector<Part> parts;
    std::string done;  // the whole item as it was declared done
};

class ResponsesStream {
  public:
    explicit ResponsesStream(Problems &problems) : problems_(problems) {}

    void frame(const Frame &frame) {
        if (frame.is_comment) {
            return;
        }
        auto root = reader_.parse_unpadded(frame.data, kLimits);
        if (!root || !root->is_object()) {
            problems_.push_back("an event that is no JSON object: " + shown(frame.data));
            return;
        }
        std::string type = plain(root->find("type").text());
        if (frame.name != type) {
            problems_.push_back("the event's name is not its type: " + shown(frame.name));
        }
        if (root->find("sequence_number").as_int() != sequence_++) {
            problems_.push_back("events are not numbered from 0 without gaps: " + type);
        }
        if (!json::duplicate_key(*root).empty()) {
            problems_.push_back("a member stands twice in " + type);
        }
        if (is_over_ || (answer_.has_error && type != "response.failed")) {
            problems_.push_back("an event behind the last one: " + type);
        } else if (type == "error") {
            answer_.has_error = true;
            answer_.error_class = plain(root->find("code").text());
            answer_.error_message = plain(root->find("message").text());
            if (!root->find("message").is_string() || root->find("code").absent() ||
                root->find("param").absent()) {
                problems_.push_back("an error without message, code or param");
            }
        } else if (type == "response.failed") {
            over(*root, "failed");
        } else if (starts_ < 2) {
            start(type, (*root)["response"]);
        } else if (type == "response.completed" || type == "response.incomplete") {
            over(*root, type.substr(9));
        } else {
            event(type, *root);
        }
    }

    Answer finish() {
        bool is_lone_error = starts_ == 0 && answer_.has_error;  // nothing had begun
        if (!is_over_ && !is_lone_error) {
            problems_.push_back("the stream has no last event");
        }
        return answer_;
    }

  private:
    void start(const std::string &type, Value response) {
        if (type != (starts_ == 0 ? "response.created" : "response.in_progress")) {
            problems_.push_back(type + " at the beginning");
        }
        ++starts_;
        check_object(response, problems_);
        if (!response["status"].equals("in_progress") || response["output"].size() != 0 ||
            !response["usage"].is_null()) {
            problems_.push_back("a fresh response that says something");
        }
        identity_ = plain(response["id"].text());
    }

    void over(Value root, std::string_view status) {
        is_over_ = true;
        Value response = root["response"];
        if (!response["status"].equals(status)) {
            problems_.push_back("the last event and its status disagree");
        }
        if (starts_ > 0 && !response["id"].equals(identity_)) {
            problems_.push_back("the id changes");
        }
        read_object(response, answer_, problems_);
        if (status == "failed") {
            if (!answer_.has_error) {
                problems_.push_back("response.failed without an error event");
            }
            return;
        }
        answer_.is_complete = true;
        if (response["output"].size() != items_.size()) {
            problems_.push_back("the last object has other items than the stream");
            return;
        }
        size_t at = 0;
        for (Value item : response["output"].items()) {
            if (item.raw().bytes != items_[at].done) {
                problems_.push_back("an item differs in the last object: " +
                                    shown(item.raw().bytes) + " and " + shown(items_[at].done));
            }
            ++at;
        }
    }

    void event(const std::string &type, Value root) {
        int64_t index = root["output_index"].as_int().value_or(-1);
        if (type == "response.output_item.added") {
            added(index, root["item"]);
            return;
        }
        if (index < 0 || index >= int64_t(items_.size())) {
            problems_.push_back(type + " of an item that was not added");
            return;
        }
        Item &item = items_[size_t(index)];
        if (!item.done.empty()) {
            problems_.push_back(type + " of an item that is done");
            return;
        }
        if (type == "response.output_item.done") {
            done(item, root["item"]);
            return;
        }
        if (!root["item_id"].equals(item.id)) {
            problems_.push_back(type + " with another item_id");
        }
        if (type == "response.function_call_arguments.delta" ||
            type == "response.custom_tool_call_input.delta" ||
            type == "response.function_call_arguments.done" ||
            type == "response.custom_tool_call_input.done") {
            bool is_custom = type.find("custom") != std::string::npos;
            if (item.type != (is_custom ? "custom_tool_call" : "function_call")) {
                problems_.push_back(type + " in an item of " + item.type);
                return;
            }
            text(type, root, item.parts[0], is_custom ? "input" : "arguments");
            return;
        }
        part(type, root, item);
    }

    void added(int64_t index, Value value) {
        if (index != int64_t(items_.size())) {
            problems_.push_back("items are not numbered in order");
        }
        Item &item = items_.emplace_back();
        item.id = plain(value["id"].text());
        item.type = plain(value["type"].text());
        bool is_call = item.type == "function_call" || item.type == "custom_tool_call";
        bool is_message = item.type == "message";
        if (is_call) {
            item.parts.emplace_back();
        }
        bool is_fresh =
            !is_call || (value["arguments"].text().empty() && value["input"].text().empty() &&
                         !value["call_id"].text().empty());
        if (item.id.empty() || !is_fresh ||
            ((is_message || is_call) && !value["status"].equals("in_progress")) ||
            (is_message && (!value["content"].is_array() || value["content"].size() != 0))) {
            problems_.push_back("an item is added that is not fresh: " + shown(value.raw().bytes));
        }
        // A service may name two of its own alike; they go back as they came.
        for (size_t i = 0; i + 1 < items_.size(); i++) {
            if (items_[i].id == item.id && (is_message || is_call)) {
                problems_.push_back("two items of one id");
            }
        }
    }

    // Messages and summaries: parts are added, grow, and are done twice: text and whole.
    void part(const std::string &type, Value root, Item &item) {
        bool is_summary = item.type == "reasoning";
        int64_t at = root[is_summary ? "summary_index" : "content_index"].as_int().value_or(-1);
        std::string_view family =
            is_summary ? "response.reasoning_summary_part" : "response.content_part";
        if (type == std::string(family) + ".added") {
            if (at != int64_t(item.parts.size())) {
                problems_.push_back("parts are not numbered in order");
            }
            Part &fresh = item.parts.emplace_back();
            fresh.type = plain(root["part"]["type"].text());
            if (!root["part"]["text"].text().empty() || !root["part"]["refusal"].text().empty()) {
                problems_.push_back("a part is added that is not fresh");
            }
            return;
        }
        if (at < 0 || at >= int64_t(item.parts.size()) || item.parts[size_t(at)].is_done) {
            problems_.push_back(type + " of a part that is not open");
            return;
        }
        Part &part = item.parts[size_t(at)];
        bool is_refusal = part.type == "refusal";
        std::string_view member = is_refusal ? "refusal" : "text";
        std::string stem = is_summary   ? "response.reasoning_summary_text"
                           : is_refusal ? "response.refusal"
                                        : "response.output_text";
        if (type == stem + ".delta" || type == stem + ".done") {
            if (stem == "response.output_text" && !root["logprobs"].is_array()) {
                problems_.push_back(type + " without logprobs");
            }
            text(type, root, part, member);
        } else if (type == "response.output_text.annotation.added") {
            if (part.is_text_done || !root["annotation"]["type"].is_string() ||
                root["annotation_index"].as_int() != int64_t(part.annotations++)) {
                problems_.push_back("an annotation out of place");
            }
        } else if (type == std::string(family) + ".done") {
            if (!part.is_text_done || root["part"][member].text().bytes != part.text ||
                root["part"]["annotations"].size() != part.annotations) {
                problems_.push_back("a part that is done says something else");
            }
            part.is_done = true;
        } else {
            problems_.push_back("an event of unknown type: " + type);
        }
    }

    void text(const std::string &type, Value root, Part &part, std::string_view member) {
        if (part.is_text_done) {
            problems_.push_back(type + " behind the end of a text");
        } else if (type.ends_with(".delta")) {
            part.text += root["delta"].text().bytes;
            if (!root["delta"].is_string()) {
                problems_.push_back("a delta that is no string");
            }
        } else {
            part.is_text_done = true;
            if (root[member].text().bytes != part.text) {
                problems_.push_back("a text is not the sum of its deltas: " + shown(part.text) +
                                    " and " + shown(root[member].text().bytes));
            }
        }
    }

    void done(Item &item, Value value) {
        item.done = value.raw().bytes;
        if (!value["id"].equals(item.id) || !value["type"].equals(item.type)) {
            problems_.push_back("an item is done under another id or type");
        }
        size_t at = 0;
        Value parts = value[item.type == "reasoning" ? "summary" : "content"];
        bool is_call = item.type == "function_call" || item.type == "custom_tool_call";
        if (is_call) {
            Value whole = value[item.type == "function_call" ? "arguments" : "input"];
            if (!item.parts[0].is_text_done || whole.text().bytes != item.parts[0].text) {
                problems_.push_back("a call is done with other arguments");
            }
            return;
        }
        for (Value part : parts.items()) {
            Value whole = part[part["type"].equals("refusal") ? "refusal" : "text"];
            if (at >= item.parts.size() || !item.parts[at].is_done ||
                whole.text().bytes != item.parts[at].text) {
                problems_.push_back("an item is done with other parts");
                return;
            }
            ++at;
        }
        if (at != item.parts.size()) {
            problems_.push_back("an item is done without some of its parts");
        }
    }

    Problems &problems_;
    json::Reader reader_;
    std::vector<Item> items_;
    Answer answer_;
    std::string identity_;
    int64_t sequence_ = 0;
    int starts_ = 0;
    bool is_over_ = false;
};

}  // namespace

Answer read_responses_stream(std::string_view bytes, const StreamExpectation &,
                             Problems &problems) {
    ResponsesStream stream(problems);
    for (const Frame &frame : split_frames(bytes, problems)) {
        stream.frame(frame);
    }
    return stream.finish();
}

Answer read_responses_body(std::string_view bytes, Problems &problems) {
    json::Reader reader;
    Answer answer;
    auto root = reader.parse_unpadded(bytes, kLimits);
    if (!root) {
        problems.push_back("a body that is no JSON");
        return answer;
    }
    if ((*root)["object"].absent() && (*root)["error"].is_object()) {
        answer.has_error = true;
        answer.error_class = plain((*root)["error"]["type"].text());
        answer.error_message = plain((*root)["error"]["message"].text());
        return answer;
    }
    read_object(*root, answer, problems);
    answer.has_error = (*root)["status"].equals("failed");
    answer.is_complete = !answer.has_error;
    return answer;
}

std::string responses_finish_of(const Message &message) {
    const std::string &finish = message.finish;
    if (finish == "length" || finish == "context_length") {
        return "max_output_tokens";
    }
    return finish == "content_filter" ? finish : "completed";
}

}  // namespace llm::check
