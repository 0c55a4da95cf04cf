// The grammars of chat and messages streams as clients rely on them.
#include <map>
#include <set>

#include "t/check/client_reader.hpp"

namespace llm::check {
namespace {

constexpr json::Limits kLimits = {.allow_lone_surrogates = true};

struct ChatChoice {
    bool has_role = false;
    bool is_finished = false;
    std::string text, refusal, spoken, reasoning;  // escaped
    std::vector<Call> calls;                       // arguments escaped
    std::set<std::string> custom_ids;              // of calls of free text tools
    std::vector<std::string> signatures, redacted;
    std::string finish, native;
};

class ChatStream {
  public:
    ChatStream(const StreamExpectation &expected, Problems &problems)
        : expected_(expected), problems_(problems) {}

    void frame(const Frame &frame) {
        if (frame.is_comment) {
            return;
        }
        if (is_over_) {
            problems_.push_back("a frame behind the last one: " + shown(frame.data));
            return;
        }
        if (!frame.name.empty()) {
            problems_.push_back("an event name in a chat stream");
        }
        if (frame.data == "[DONE]") {
            is_over_ = true;
            answer_.is_complete = true;
            return;
        }
        auto root = reader_.parse_unpadded(frame.data, kLimits);
        if (!root || !root->is_object()) {
            problems_.push_back("a chunk that is no JSON object: " + shown(frame.data));
            return;
        }
        if (!json::duplicate_key(*root).empty()) {
            problems_.push_back("a member stands twice in a chunk");
        }
        if (!root->find("error").absent()) {
            error(root->find("error"));
            return;
        }
        chunk(*root);
    }

    Answer finish() {
        if (!is_over_) {
            problems_.push_back("the stream has no last frame");
        }
        for (auto &[index, choice] : choices_) {
            Message &message = answer_.choices[index];
            message.text = plain(choice.text);
            message.refusal = plain(choice.refusal);
            message.spoken = plain(choice.spoken);
            message.reasoning = plain(choice.reasoning);
            message.signatures = choice.signatures;
            message.redacted = choice.redacted;
            message.finish = choice.finish;
            message.native = choice.native;
            for (Call &call : choice.calls) {
                message.calls.push_back({call.id, call.name, plain(call.arguments)});
                bool is_custom = choice.custom_ids.contains(call.id);  // free text may be empty
                if (answer_.is_complete && call.arguments.empty() && !is_custom) {
                    problems_.push_back("a call without arguments: \"\" is no JSON");
                }
            }
            if (answer_.is_complete && !choice.is_finished) {
                problems_.push_back("[DONE] before the finish_reason of a choice");
            }
        }
        if (answer_.is_complete && choices_.empty()) {
            problems_.push_back("a stream without choices");
        }
        return answer_;
    }

  private:
    void error(json::Value error) {
        is_over_ = true;
        answer_.has_error = true;
        answer_.error_class = plain(error["type"].text());
        answer_.error_message = plain(error["message"].text());
        for (std::string_view member : {"message", "type", "param", "code"}) {
            if (error[member].absent()) {
                problems_.push_back("an error without " + std::string(member));
            }
        }
    }

    void chunk(json::Value root) {
        if (!root["object"].equals("chat.completion.chunk")) {
            problems_.push_back("object is not chat.completion.chunk");
        }
        std::string identity(root["id"].raw().bytes);
        identity.append(root["model"].raw().bytes).append(root["created"].raw().bytes);
        if (identity_.empty()) {
            identity_ = identity;
            answer_.id = plain(root["id"].text());
            answer_.model = plain(root["model"].text());
            if (answer_.id.empty() || !root["model"].is_string() || !root["created"].as_int()) {
                problems_.push_back("id, model or created is missing");
            }
        } else if (identity_ != identity) {
            problems_.push_back("id, model or created changes");
        }
        json::Value choices = root["choices"];
        if (!choices.is_array()) {
            problems_.push_back("a chunk without choices");
        }
        json::Value usage = root["usage"];
        if (has_usage_) {
            problems_.push_back("a chunk behind the usage");
        }
        if (usage.is_object()) {
            has_usage_ = true;
            answer_.usage = chat_usage(usage);
            if (choices.size() != 0 || !expected_.usage_chunk) {
                problems_.push_back("usage in the wrong chunk");
            }
        } else if (usage.is_null() != expected_.usage_chunk) {
            problems_.push_back("usage must be null exactly when it was asked for");
        }
        for (json::Value choice : choices.items()) {
            one_choice(choice);
        }
    }

    void one_choice(json::Value value) {
        ChatChoice &choice = choices_[uint32_t(value["index"].as_int().value_or(999))];
        json::Value delta = value["delta"];
        if (choice.is_finished) {
            problems_.push_back("a delta behind the finish_reason");
        }
        if (!delta.is_object() || value["finish_reason"].absent()) {
            problems_.push_back("a choice without delta or finish_reason");
        }
        if (!choice.has_role && !delta["role"].equals("assistant")) {
            problems_.push_back("the first chunk of a choice has no role");
        }
        choice.has_role = true;
        choice.text += delta["content"].text().bytes;
        choice.refusal += delta["refusal"].text().bytes;
        choice.spoken += delta["content"].text().bytes;
        choice.spoken += delta["refusal"].text().bytes;
        choice.reasoning += delta["reasoning_content"].text().bytes;
        if (!delta["content"].text().empty() && delta["tool_calls"].size() > 0) {
            problems_.push_back("content and tool_calls in one delta");
        }
        for (json::Value block : delta["thinking_blocks"].items()) {
            bool is_redacted = block["type"].equals("redacted_thinking");
            (is_redacted ? choice.redacted : choice.signatures)
                .push_back(plain(block[is_redacted ? "data" : "signature"].text()));
        }
        for (json::Value call : delta["tool_calls"].items()) {
            tool_call(choice, call);
        }
        if (value["finish_reason"].is_string()) {
            choice.is_finished = true;
            choice.finish = plain(value["finish_reason"].text());
            choice.native = plain(value["native_finish_reason"].text());
        }
    }

    void tool_call(ChatChoice &choice, json::Value call) {
        int64_t index = call["index"].as_int().value_or(-1);
        bool is_custom = call["custom"].is_object();
        json::Value function = call[is_custom ? "custom" : "function"];
        json::Value arguments = function[is_custom ? "input" : "arguments"];
        for (json::Value member : {call["id"], call["type"], function["name"], arguments}) {
            if (member.is_null()) {
                problems_.push_back("null in a tool call's delta");
            }
        }
        if (index == int64_t(choice.calls.size())) {
            Call opened{plain(call["id"].text()), plain(function["name"].text()), ""};
            if (opened.id.empty() || opened.name.empty() ||
                !call["type"].equals(is_custom ? "custom" : "function")) {
                problems_.push_back("a call opens without id, name or type");
            }
            for (const Call &other : choice.calls) {
                if (other.id == opened.id) {
                    problems_.push_back("two calls of one id: " + shown(other.id));
                }
            }
            choice.calls.push_back(opened);
            if (is_custom) {
                choice.custom_ids.insert(opened.id);
            }
        } else if (index < 0 || index > int64_t(choice.calls.size())) {
            problems_.push_back("calls are not numbered in order");
            return;
        }
        choice.calls[size_t(index)].arguments += arguments.text().bytes;
    }

    StreamExpectation expected_;
    Problems &problems_;
    json::Reader reader_;
    std::map<uint32_t, ChatChoice> choices_;
    Answer answer_;
    std::string identity_;
    bool has_usage_ = false;
    bool is_over_ = false;
};

struct MessagesBlock {
    std::string type, id, name;
    std::string text, signature;  // escaped
    size_t deltas = 0;
};

class MessagesStream {
  public:
    explicit MessagesStream(Problems &problems) : problems_(problems) {}

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
        if (is_over_) {
            problems_.push_back("an event behind the last one: " + type);
        } else if (type == "error") {
            is_over_ = true;
            answer_.has_error = true;
            answer_.error_class = plain((*root)["error"]["type"].text());
            answer_.error_message = plain((*root)["error"]["message"].text());
            if (answer_.error_class.empty() || !(*root)["error"]["message"].is_string()) {
                problems_.push_back("an error without type or message");
            }
        } else if (type == "message_start") {
            message_start((*root)["message"]);
        } else if (!is_started_) {
            problems_.push_back(type + " before message_start");
        } else if (type == "ping") {
            // anywhere
        } else if (has_delta_ && type != "message_stop") {
            problems_.push_back(type + " behind message_delta");
        } else {
            event(type, *root);
        }
    }

    Answer finish() {
        if (!is_over_) {
            problems_.push_back("the stream has no last event");
        }
        Message &message = answer_.choices[0];
        for (const MessagesBlock &block : blocks_) {
            std::string text = plain(block.text);
            if (block.type == "text") {
                message.text += text;
                message.spoken += text;
            } else if (block.type == "thinking") {
                message.reasoning += text;
                if (!block.signature.empty()) {
                    message.signatures.push_back(plain(block.signature));
                }
            } else if (block.type == "redacted_thinking") {
                message.redacted.push_back(block.id);
            } else if (block.type == "tool_use") {
                message.calls.push_back({block.id, block.name, arguments_text(text)});
            } else {
                message.server_blocks++;
            }
        }
        message.finish = stop_reason_;
        message.stop_sequence = stop_sequence_;
        return answer_;
    }

  private:
    void message_start(json::Value message) {
        if (is_started_) {
            problems_.push_back("a second message_start");
        }
        is_started_ = true;
        answer_.id = plain(message["id"].text());
        answer_.model = plain(message["model"].text());
        if (answer_.id.empty() || !message["model"].is_string() ||
            !message["type"].equals("message") || !message["role"].equals("assistant") ||
            !message["content"].is_array() || message["content"].size() != 0 ||
            !message["stop_reason"].is_null() || !message["stop_sequence"].is_null()) {
            problems_.push_back("message_start lacks a required member");
        }
        answer_.usage = messages_usage(message["usage"], {}, problems_);
    }

    void event(const std::string &type, json::Value root) {
        int64_t index = root["index"].as_int().value_or(-1);
        if (type == "content_block_start") {
            if (is_open_ || index != int64_t(blocks_.size())) {
                problems_.push_back("blocks overlap or are not numbered in order");
            }
            is_open_ = true;
            block_start(root["content_block"]);
        } else if (type == "content_block_delta" || type == "content_block_stop") {
            if (!is_open_ || index + 1 != int64_t(blocks_.size())) {
                problems_.push_back(type + " of a block that is not open");
                return;
            }
            if (type == "content_block_delta") {
                blocks_.back().deltas++;
                block_delta(blocks_.back(), root["delta"]);
                return;
            }
            is_open_ = false;
            if (blocks_.back().type == "text" && blocks_.back().deltas == 0) {
                problems_.push_back("an empty text block");
            }
        } else if (type == "message_delta") {
            has_delta_ = true;
            if (is_open_ || !root["delta"]["stop_reason"].is_string() ||
                root["delta"]["stop_sequence"].absent()) {
                problems_.push_back("message_delta while a block is open, or incomplete");
            }
            stop_reason_ = plain(root["delta"]["stop_reason"].text());
            stop_sequence_ = plain(root["delta"]["stop_sequence"].text());
            answer_.usage = messages_usage(root["usage"], answer_.usage, problems_);
        } else if (type == "message_stop") {
            is_over_ = true;
            answer_.is_complete = true;
            if (!has_delta_) {
                problems_.push_back("message_stop without message_delta");
            }
        } else {
            problems_.push_back("an event of unknown type: " + type);
        }
    }

    void block_start(json::Value value) {
        MessagesBlock block;
        block.type = plain(value["type"].text());
        block.id = plain(value[block.type == "redacted_thinking" ? "data" : "id"].text());
        block.name = plain(value["name"].text());
        bool is_empty = (block.type != "text" || value["text"].equals("")) &&
                        (block.type != "thinking" ||
                         (value["thinking"].equals("") && value["signature"].equals("")));
        if (!value.is_object() || !is_empty) {
            problems_.push_back("content_block_start is malformed: " + shown(value.raw().bytes));
        }
        if (block.type == "tool_use") {
            if (block.name.empty() || value["input"].size() != 0 || !value["input"].is_object()) {
                problems_.push_back("a tool_use that starts without name or with input");
            }
            check_messages_call_id(block.id, problems_);
            for (const MessagesBlock &other : blocks_) {
                if (other.type == "tool_use" && other.id == block.id) {
                    problems_.push_back("two calls of one id: " + shown(block.id));
                }
            }
        }
        blocks_.push_back(block);
    }

    void block_delta(MessagesBlock &block, json::Value delta) {
        std::string type = plain(delta["type"].text());
        if (type == "text_delta" && block.type == "text") {
            block.text += delta["text"].text().bytes;
        } else if (type == "thinking_delta" && block.type == "thinking") {
            block.text += delta["thinking"].text().bytes;
        } else if (type == "signature_delta" && block.type == "thinking") {
            block.signature += delta["signature"].text().bytes;
        } else if (type == "input_json_delta" && block.type == "tool_use") {
            block.text += delta["partial_json"].text().bytes;
        } else if (type != "citations_delta" || block.type != "text" ||
                   !delta["citation"].is_object()) {
            problems_.push_back(type + " in a block of " + block.type);
        }
    }

    Problems &problems_;
    json::Reader reader_;
    std::vector<MessagesBlock> blocks_;
    Answer answer_;
    std::string stop_reason_, stop_sequence_;
    bool is_open_ = false;
    bool has_delta_ = false;
    bool is_started_ = false;
    bool is_over_ = false;
};

}  // namespace

std::vector<Frame> split_frames(std::string_view bytes, Problems &problems) {
    std::vector<Frame> frames;
    while (!bytes.empty()) {
        size_t end = bytes.find("\n\n");
        if (end == std::string_view::npos) {
            problems.push_back("half a frame at the end: " + shown(bytes));
            break;
        }
        std::string_view frame = bytes.substr(0, end);
        bytes.remove_prefix(end + 2);
        Frame &made = frames.emplace_back();
        if (frame.starts_with(":")) {
            made.is_comment = true;
            continue;
        }
        if (frame.starts_with("event: ")) {
            size_t line = frame.find('\n');
            made.name = frame.substr(7, line - 7);
            frame.remove_prefix(line == std::string_view::npos ? frame.size() : line + 1);
        }
        if (!frame.starts_with("data: ") || frame.find('\n') != std::string_view::npos ||
            frame.find('\r') != std::string_view::npos) {
            problems.push_back("a frame that is not one data line: " + shown(frame));
            continue;
        }
        made.data = frame.substr(6);
    }
    return frames;
}

Answer read_chat_stream(std::string_view bytes, const StreamExpectation &expected,
                        Problems &problems) {
    ChatStream stream(expected, problems);
    for (const Frame &frame : split_frames(bytes, problems)) {
        stream.frame(frame);
    }
    return stream.finish();
}

Answer read_messages_stream(std::string_view bytes, Problems &problems) {
    MessagesStream stream(problems);
    for (const Frame &frame : split_frames(bytes, problems)) {
        stream.frame(frame);
    }
    return stream.finish();
}

}  // namespace llm::check
