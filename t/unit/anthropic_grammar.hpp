// Checks a messages stream against the grammar that clients rely on:
//   message_start, then blocks 0, 1, 2 ... that never overlap, message_delta, message_stop;
//   pings anywhere after message_start; or an error frame at any place, and nothing behind it.
// For tests and fuzzing of encoders. grammar_fault() is empty when all is well.
#pragma once

#include <string>

#include "translators/json/reader.hpp"
#include "translators/wire/sse.hpp"

namespace llm::test {

class MessagesGrammar final : public wire::SseHandler {
  public:
    Status on_sse(const wire::SseEvent &event) override {
        if (fault.empty() && event.has_data) {
            check(event);
        }
        return {};
    }

    bool is_complete() const { return state_ == State::end || state_ == State::failed; }
    bool has_failed() const { return state_ == State::failed; }

    std::string fault;
    uint32_t blocks = 0;

  private:
    enum class State { before, between, in_block, after_delta, end, failed };

    void check(const wire::SseEvent &event) {
        auto root = reader_.parse_unpadded(event.data, {.allow_lone_surrogates = true});
        if (!root || !root->is_object()) {
            fault = "a frame is not JSON";
            return;
        }
        std::string type(root->find("type").text().bytes);
        if (type != event.name) {
            fault = "event name and type differ: " + type;
        } else if (state_ == State::end || state_ == State::failed) {
            fault = "a frame behind the end: " + type;
        } else if (type == "error") {
            state_ = State::failed;
            expect(root->find("error")["type"].is_string() &&
                       root->find("error")["message"].is_string(),
                   "an error without type or message");
        } else if (state_ == State::before) {
            message_start(type, *root);
        } else if (type == "ping") {
            return;
        } else if (type == "content_block_start") {
            block_start(*root);
        } else if (type == "content_block_delta") {
            delta(*root);
        } else if (type == "content_block_stop") {
            expect(state_ == State::in_block && is_index(*root), "a stop of no open block");
            state_ = State::between;
            ++blocks;
        } else if (type == "message_delta") {
            expect(state_ == State::between, "message_delta inside a block");
            expect(root->find("delta")["stop_reason"].is_string(), "no stop reason");
            usage(root->find("usage"));
            state_ = State::after_delta;
        } else if (type == "message_stop") {
            expect(state_ == State::after_delta, "message_stop without message_delta");
            state_ = State::end;
        } else {
            fault = "unknown frame " + type;
        }
    }

    void message_start(const std::string &type, json::Value root) {
        json::Value message = root.find("message");
        expect(type == "message_start", "the stream does not begin with message_start");
        expect(message.find("id").is_string() && message.find("model").is_string() &&
                   message.find("type").equals("message") &&
                   message.find("role").equals("assistant") && message.find("content").is_array() &&
                   message.find("stop_reason").is_null() && message.find("stop_sequence").is_null(),
               "message_start lacks a member");
        usage(message.find("usage"));
        state_ = State::between;
    }

    void block_start(json::Value root) {
        expect(state_ == State::between && is_index(root), "a block starts out of order");
        json::Value block = root.find("content_block");
        kind_ = block.find("type").text().bytes;
        if (kind_ == "tool_use") {
            expect(block.find("id").is_string() && block.find("name").is_string() &&
                       block.find("input").is_object() && block.find("input").size() == 0,
                   "a tool_use start lacks a member");
        }
        state_ = State::in_block;
    }

    void delta(json::Value root) {
        expect(state_ == State::in_block && is_index(root), "a delta of no open block");
        std::string of(root.find("delta")["type"].text().bytes);
        bool fits = (kind_ == "text" && (of == "text_delta" || of == "citations_delta")) ||
                    (kind_ == "thinking" && (of == "thinking_delta" || of == "signature_delta")) ||
                    (kind_ == "tool_use" && of == "input_json_delta");
        expect(fits, "a delta of another kind than its block");
    }

    void usage(json::Value usage) {
        for (const char *name : {"input_tokens", "cache_creation_input_tokens",
                                 "cache_read_input_tokens", "output_tokens"}) {
            expect(usage.find(name).as_int().value_or(-1) >= 0, "usage lacks a counter");
        }
    }

    bool is_index(json::Value root) const {
        return root.find("index").as_int().value_or(-1) == static_cast<int64_t>(blocks);
    }

    void expect(bool holds, const char *what) {
        if (!holds && fault.empty()) {
            fault = what;
        }
    }

    json::Reader reader_;
    std::string kind_;
    State state_ = State::before;
};

// The first fault of a whole stream; `may_be_open` for one that is not finished yet.
inline std::string grammar_fault(std::string_view stream, bool may_be_open = false) {
    std::string padded(stream);
    padded.append(json::kPadding, '\0');
    MessagesGrammar grammar;
    wire::SseSplitter splitter;
    if (!splitter.feed({padded.data(), stream.size()}, grammar)) {
        return "not a stream of events";
    }
    if (grammar.fault.empty() && !splitter.at_boundary()) {
        return "the last frame is not ended";
    }
    if (grammar.fault.empty() && !may_be_open && !stream.empty() && !grammar.is_complete()) {
        return "the stream has no end";
    }
    return grammar.fault;
}

}  // namespace llm::test
