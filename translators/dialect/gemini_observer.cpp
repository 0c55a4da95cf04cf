// Watches a Gemini stream that passes through untouched. Every frame is a whole answer with a piece
// of content, so every frame is read: usage, finish reasons, the first content, errors. There is no
// last frame: the stream is complete when its input ends after every candidate had its finishReason
// (or the prompt was blocked).
#include <string>

#include "translators/dialect/gemini.hpp"

namespace llm::gemini {

namespace {

using json::Value;

constexpr json::Limits kLimits = {.max_depth = 512, .allow_lone_surrogates = true};

bool has_content(Value part) {
    return !part.find("text").text().empty() || !part.find("thoughtSignature").text().empty() ||
           part.find("functionCall").is_object() || part.find("inlineData").is_object() ||
           part.find("executableCode").is_object() || part.find("codeExecutionResult").is_object();
}

class GeminiObserver final : public Observer {
  public:
    Observation on_frame(const wire::SseEvent &frame) override {
        Observation seen;
        error_ = {};
        if (!frame.has_data) {
            return seen;
        }
        Result<Value> parsed = reader_.parse(frame.data, kLimits);
        if (!parsed) {
            return seen;
        }
        Value root = *parsed;
        if (root.is_array() && root.size() > 0) {
            root = *root.items().begin();  // an error, as the array form has it
        }
        if (!root.find("error").is_unset()) {
            arena_.reset();
            error_ = read_error(0, root, frame.data, arena_);
            is_failed_ = true;
            seen.is_error = true;
            seen.is_end = true;
            return seen;
        }
        if (model_.empty()) {
            model_ = root.find("modelVersion").text().bytes;
        }
        if (Value usage = root.find("usageMetadata"); usage.is_object()) {
            raw_usage_.merge(usage);
            usage_ = raw_usage_.to_usage();
            seen.has_usage = true;
        }
        is_blocked_ = take_finish(root["promptFeedback"]["blockReason"], seen) || is_blocked_;
        for (Value candidate : root.find("candidates").items()) {
            for (Value part : candidate["content"]["parts"].items()) {
                if (!has_content_ && has_content(part)) {
                    has_content_ = true;
                    seen.is_content = true;
                }
            }
            uint64_t bit = uint64_t{1} << (candidate.find("index").as_int().value_or(0) & 63);
            open_ |= bit;
            if (take_finish(candidate.find("finishReason"), seen)) {
                finished_ |= bit;
            }
        }
        return seen;
    }

    const Usage &usage() const override { return usage_; }
    const ApiError &error() const override { return error_; }
    std::string_view model() const override { return model_; }
    std::string_view finish_reason() const override { return finish_; }
    bool finish(ByteBuffer &) override {
        bool is_finished = open_ != 0 ? (open_ & ~finished_) == 0 : is_blocked_;
        return is_failed_ || is_finished;
    }

  private:
    bool take_finish(Value reason, Observation &seen) {
        if (!reason.is_string() || reason.text().empty()) {
            return false;
        }
        finish_ = reason.text().bytes;
        seen.is_finish = true;
        return true;
    }

    json::Reader reader_;
    Arena arena_;
    RawUsage raw_usage_;
    Usage usage_;
    ApiError error_;
    std::string model_;
    std::string finish_;
    bool has_content_ = false;
    uint64_t open_ = 0;  // candidates, a bit each
    uint64_t finished_ = 0;
    bool is_blocked_ = false;
    bool is_failed_ = false;
};

}  // namespace

std::unique_ptr<Observer> make_observer(const ObserverOptions &) {
    return std::make_unique<GeminiObserver>();
}

}  // namespace llm::gemini
