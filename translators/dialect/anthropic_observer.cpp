// Watches a messages stream that passes through untouched: usage, model, finish reason, the first
// content (the point of no return) and errors. Works by event name and parses only the frames that
// can matter: message_start, message_delta, error, and block frames until content was seen. A frame
// that cannot be read passes as it is.
#include <string>

#include "translators/dialect/anthropic.hpp"

namespace llm::anthropic {

namespace {

using json::Value;

constexpr json::Limits kLimits = {.max_depth = 512, .allow_lone_surrogates = true};

bool delta_has_content(Value delta) {
    return !delta.find("text").text().empty() || !delta.find("thinking").text().empty() ||
           !delta.find("partial_json").text().empty() || !delta.find("signature").text().empty();
}

bool block_has_content(Value block) {
    Value type = block.find("type");
    return type.equals("tool_use") || type.equals("redacted_thinking") ||
           !block.find("text").text().empty() || !block.find("thinking").text().empty();
}

class MessagesObserver final : public Observer {
  public:
    Observation on_frame(const wire::SseEvent &frame) override {
        Observation seen;
        error_ = {};
        if (!frame.has_data) {
            return seen;
        }
        std::string_view name = frame.name;
        Value root;
        if (name.empty()) {  // an imitator without event lines: the type says it
            root = parse(frame.data);
            name = root.find("type").text().bytes;
        }
        if (name == "content_block_delta" || name == "content_block_start") {
            if (!has_content_) {
                root = root.absent() ? parse(frame.data) : root;
                has_content_ = name == "content_block_delta"
                                   ? delta_has_content(root.find("delta"))
                                   : block_has_content(root.find("content_block"));
                seen.is_content = has_content_;
            }
        } else if (name == "message_start") {
            message_start(root.absent() ? parse(frame.data) : root, seen);
        } else if (name == "message_delta") {
            message_delta(root.absent() ? parse(frame.data) : root, seen);
        } else if (name == "message_stop") {
            if (frame.data.find("invocationMetrics") != std::string_view::npos) {
                raw_usage_.merge_metrics(
                    parse(frame.data).find("amazon-bedrock-invocationMetrics"));
                usage_ = raw_usage_.to_usage();
                seen.has_usage = usage_.known;
            }
            has_end_ = true;
            seen.is_end = true;
        } else if (name == "error") {
            arena_.reset();
            root = root.absent() ? parse(frame.data) : root;
            error_ = read_error(0, root, frame.data, arena_);
            has_end_ = true;
            seen.is_error = true;
            seen.is_end = true;
        }
        return seen;
    }

    const Usage &usage() const override { return usage_; }
    const ApiError &error() const override { return error_; }
    std::string_view model() const override { return model_; }
    std::string_view finish_reason() const override { return finish_; }

    bool finish(ByteBuffer &tail) override {
        if (has_end_) {
            return true;
        }
        if (!has_stop_frame_) {
            return false;
        }
        has_end_ = true;
        tail.append(kStopFrame);
        return true;
    }

  private:
    Value parse(std::string_view data) {
        Result<Value> parsed = reader_.parse(data, kLimits);
        return parsed ? *parsed : Value();
    }

    void message_start(Value root, Observation &seen) {
        Value message = root.find("message");
        if (model_.empty()) {
            model_ = message.find("model").text().bytes;
        }
        take_usage(message.find("usage"), seen);
        take_finish(message.find("stop_reason"), seen);
        if (!has_content_ && message.find("content").size() > 0) {
            has_content_ = true;
            seen.is_content = true;
        }
    }

    void message_delta(Value root, Observation &seen) {
        take_usage(root.find("usage"), seen);
        take_finish(root["delta"]["stop_reason"], seen);
        has_stop_frame_ = has_stop_frame_ || seen.is_finish;
    }

    void take_usage(Value usage, Observation &seen) {
        if (usage.is_object()) {
            raw_usage_.merge(usage);
            usage_ = raw_usage_.to_usage();
            seen.has_usage = true;
        }
    }

    void take_finish(Value reason, Observation &seen) {
        if (reason.is_string()) {
            finish_ = reason.text().bytes;
            seen.is_finish = true;
        }
    }

    json::Reader reader_;
    Arena arena_;
    RawUsage raw_usage_;
    Usage usage_;
    ApiError error_;
    std::string model_;
    std::string finish_;
    bool has_content_ = false;
    bool has_stop_frame_ = false;  // a message_delta with a stop reason
    bool has_end_ = false;
};

}  // namespace

std::unique_ptr<Observer> make_observer(const ObserverOptions &) {
    return std::make_unique<MessagesObserver>();
}

}  // namespace llm::anthropic
