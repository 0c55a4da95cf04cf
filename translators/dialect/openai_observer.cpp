// Pass-through: reads a chat stream beside its bytes, for the ledger and the commit point.
//
// Entry point: make_observer. Until the first content every frame is parsed; afterwards only the
// few that may carry something of interest, found by a search for the member's name (inside a JSON
// string its quotes would be escaped, so text never looks like one). A frame that cannot be read
// passes as it is.
#include <algorithm>
#include <cstring>

#include "translators/core/find_text.hpp"
#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/openai.hpp"
#include "translators/dialect/openai_answer.hpp"

namespace llm::openai {

namespace {

using json::Value;

constexpr size_t kMaxChoices = 128;
constexpr size_t kMaxKept = 256;

class ChatObserver final : public Observer {
  public:
    explicit ChatObserver(const ObserverOptions &options) : options_(options) {}

    Observation on_frame(const wire::SseEvent &frame) override;
    const Usage &usage() const override { return usage_; }
    const ApiError &error() const override { return error_; }
    std::string_view model() const override { return model_; }
    std::string_view finish_reason() const override { return finish_reason_; }
    bool finish(ByteBuffer &tail) override;

  private:
    void read_chunk(Value chunk, Observation &seen);
    void read_choice(Value choice, Observation &seen);
    void read_failure(Value root, std::string_view body, Observation &seen);
    void fail(ErrorClass error_class, std::string_view message, JsonText code, Observation &seen);

    ObserverOptions options_;
    json::Reader reader_;
    Arena arena_;
    Usage usage_;
    ApiError error_;
    std::string model_;
    std::string finish_reason_;
    std::vector<std::pair<int64_t, bool>> choices_;  // index, finished
    bool has_content_ = false;
    bool is_done_ = false;
    bool has_failed_ = false;
    bool ends_in_blank_line_ = true;
};

// `"name"`, then a colon, then a value that begins with `first`; white space may stand between.
bool has_member(std::string_view data, std::string_view quoted_name, char first) {
    while (!data.empty()) {
        size_t at = find_text(data, quoted_name);
        if (at == std::string_view::npos) {
            return false;
        }
        data.remove_prefix(at + quoted_name.size());
        size_t value = data.find_first_not_of(" \t\r\n:");
        if (value != std::string_view::npos && data[value] == first) {
            return true;
        }
    }
    return false;
}

bool may_matter(std::string_view data) {
    return has_member(data, "\"usage\"", '{') || has_member(data, "\"finish_reason\"", '"') ||
           find_text(data, "\"error\"") != std::string_view::npos;
}

// Something that the client sees: text in any form, or a call.
bool is_content(Value delta) {
    for (std::string_view name : {"content", "reasoning_content", "reasoning", "refusal"}) {
        Value value = delta[name];
        if (!value.text().empty() || value.size() > 0) {
            return true;
        }
    }
    for (std::string_view name :
         {"tool_calls", "function_call", "reasoning_details", "audio", "images"}) {
        if (delta[name].size() > 0) {
            return true;
        }
    }
    return false;
}

Observation ChatObserver::on_frame(const wire::SseEvent &frame) {
    Observation seen;
    ends_in_blank_line_ = frame.raw.ends_with("\n\n") || frame.raw.ends_with("\n\r\n") ||
                          frame.raw.ends_with("\r\r") || frame.raw.empty();
    if (!frame.has_data) {
        return seen;
    }
    std::string_view data = frame.data;
    while (!data.empty() && (data.back() == ' ' || data.back() == '\n' || data.back() == '\r')) {
        data.remove_suffix(1);
    }
    if (data == "[DONE]") {
        is_done_ = true;
        seen.is_end = true;
        if (choices_.empty()) {
            fail(ErrorClass::upstream, "the provider's stream has no answer in it", {}, seen);
        }
        return seen;
    }
    bool is_failure = frame.name == "error";
    if (has_content_ && !is_failure && !may_matter(data)) {
        return seen;
    }
    arena_.reset();
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    Result<Value> root = reader_.parse(data, limits);
    if (!root) {
        if (is_failure) {
            read_failure({}, data, seen);
        }
        return seen;
    }
    for (Value item : root->items()) {
        is_failure = is_failure || is_error_value(item["error"]);
    }
    if (is_failure || is_error_value((*root)["error"]) || (*root)["object"].equals("error")) {
        seen.has_usage = read_usage(find_usage(*root), usage_);
        read_failure(*root, data, seen);
    } else if (root->is_object()) {
        read_chunk(*root, seen);
    }
    return seen;
}

void ChatObserver::read_failure(Value root, std::string_view body, Observation &seen) {
    error_ = read_error(0, root, body, arena_);
    seen.is_error = true;
    has_failed_ = true;
}

void ChatObserver::fail(ErrorClass error_class, std::string_view message, JsonText code,
                        Observation &seen) {
    error_ = ApiError();
    error_.error_class = error_class;
    error_.message = {message};
    error_.code = {arena_.copy(code.bytes)};
    seen.is_error = true;
    has_failed_ = true;
}

void ChatObserver::read_chunk(Value chunk, Observation &seen) {
    if (model_.empty()) {
        model_ = json::unescape(chunk["model"].text(), arena_).substr(0, kMaxKept);
    }
    Value usage = find_usage(chunk);
    seen.has_usage = read_usage(usage, usage_);
    Value choices = chunk["choices"];
    seen.hide = options_.hide_usage && usage.is_object() && choices.size() == 0;
    for (Value choice : choices.items()) {
        read_choice(choice, seen);
    }
    has_content_ = has_content_ || seen.is_content;
}

void ChatObserver::read_choice(Value choice, Observation &seen) {
    if (is_error_value(choice["error"])) {
        read_failure(choice, choice.raw().bytes, seen);
        return;
    }
    // `text`: legacy completions
    seen.is_content =
        seen.is_content || is_content(choice["delta"]) || !choice["text"].text().empty();
    int64_t index = choice["index"].as_int().value_or(0);
    auto known = std::find_if(choices_.begin(), choices_.end(),
                              [index](const auto &entry) { return entry.first == index; });
    if (known == choices_.end() && choices_.size() < kMaxChoices) {
        choices_.push_back({index, false});
        known = std::prev(choices_.end());
    }
    Value reason = choice["finish_reason"];
    if (!reason.is_string()) {
        return;
    }
    seen.is_finish = true;
    if (read_finish(reason.text(), false) == ir::Finish::error) {
        bool is_busy = reason.equals("insufficient_system_resource");
        fail(is_busy ? ErrorClass::overloaded : ErrorClass::upstream,
             "the provider ended its answer with an error", reason.text(), seen);
    }
    if (finish_reason_.empty()) {
        finish_reason_ = json::unescape(reason.text(), arena_).substr(0, kMaxKept);
    }
    if (known != choices_.end()) {
        known->second = true;
    }
}

bool ChatObserver::finish(ByteBuffer &tail) {
    if (is_done_ || has_failed_) {
        return true;
    }
    bool is_complete = !choices_.empty();
    for (const auto &[index, is_finished] : choices_) {
        is_complete = is_complete && is_finished;
    }
    if (is_complete) {
        tail.append(ends_in_blank_line_ ? "data: [DONE]\n\n" : "\n\ndata: [DONE]\n\n");
    }
    return is_complete;
}

}  // namespace

std::unique_ptr<Observer> make_observer(const ObserverOptions &options) {
    return std::make_unique<ChatObserver>(options);
}

}  // namespace llm::openai
