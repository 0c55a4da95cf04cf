// Pass-through of Responses answers: what the ledger and the commit point need of them.
//
// Entry points: make_observer (streams), observe_response (whole answers). An event is known by its
// name, or by the `type` it begins with where an imitator has no event lines; only the first
// content, the first response object and the last one are parsed. A frame that cannot be read
// passes as it is.
#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/responses.hpp"
#include "translators/dialect/responses_answer.hpp"

namespace llm::responses {

namespace {

using json::Value;

constexpr json::Limits kLimits = {.max_depth = 512, .allow_lone_surrogates = true};
constexpr size_t kMaxKept = 256;

bool is_terminal(std::string_view name) {
    return name == "response.completed" || name == "response.incomplete" ||
           name == "response.failed";
}

bool is_beginning(std::string_view name) {
    return name == "response.created" || name == "response.in_progress" ||
           name == "response.queued";
}

// The type of an event without a name, by its first member as all services write it.
std::string_view leading_type(std::string_view data) {
    constexpr std::string_view kMember = "\"type\"";
    size_t at = data.find_first_not_of(" {\t\r\n");
    if (at == std::string_view::npos || data.compare(at, kMember.size(), kMember) != 0) {
        return {};
    }
    size_t begin = data.find_first_not_of(" :\t\r\n", at + kMember.size());
    if (begin == std::string_view::npos || data[begin] != '"') {
        return {};
    }
    size_t end = data.find('"', begin + 1);
    return end == std::string_view::npos ? std::string_view()
                                         : data.substr(begin + 1, end - begin - 1);
}

// Why the answer ended, as the service calls it.
JsonText finish_of(Value response) {
    JsonText reason = response["incomplete_details"]["reason"].text();
    return reason.empty() ? response["status"].text() : reason;
}

class ResponsesObserver final : public Observer {
  public:
    explicit ResponsesObserver(bool tells_ids) : tells_ids_(tells_ids) {}

    Observation on_frame(const wire::SseEvent &frame) override {
        Observation seen;
        error_ = {};
        if (!frame.has_data || has_end_) {
            return seen;
        }
        Value root;
        std::string_view name = frame.name;
        if (name.empty()) {
            name = leading_type(frame.data);
            if (name.empty()) {
                root = parse(frame.data);
                name = root["type"].text().bytes;
            }
        }
        if (name.ends_with(".delta")) {
            content(root, frame.data, seen);
        } else if (name == "response.output_item.added" || name == "response.output_item.done") {
            item(root, frame.data, seen);
        } else if (is_terminal(name)) {
            terminal(name, root.absent() ? parse(frame.data) : root, frame.data, seen);
        } else if (name == "error" || (name.empty() && is_error_value(root["error"]))) {
            fail(root.absent() ? parse(frame.data) : root, frame.data, seen);
        } else if ((model_.empty() && name.starts_with("response.")) ||
                   (tells_ids_ && is_beginning(name))) {
            take_names((root.absent() ? parse(frame.data) : root)["response"], seen);
        }
        return seen;
    }

    const Usage &usage() const override { return usage_; }
    const ApiError &error() const override { return error_; }
    std::string_view model() const override { return model_; }
    std::string_view finish_reason() const override { return finish_; }
    bool finish(ByteBuffer &) override { return has_end_; }

  private:
    Value parse(std::string_view data) {
        Result<Value> parsed = reader_.parse(data, kLimits);
        return parsed ? *parsed : Value();
    }

    void content(Value root, std::string_view data, Observation &seen) {
        if (!has_content_) {
            root = root.absent() ? parse(data) : root;
            seen.is_content = has_content_ = !root["delta"].text().empty();
        }
    }

    // Calls and whatever else comes in one piece; messages and thoughts are known by their text.
    void item(Value root, std::string_view data, Observation &seen) {
        if (!has_content_) {
            root = root.absent() ? parse(data) : root;
            Value type = root["item"]["type"];
            bool comes_in_pieces = type.equals("message") || type.equals("reasoning");
            seen.is_content = has_content_ = type.is_string() && !comes_in_pieces;
        }
    }

    void take_names(Value response, Observation &seen) {
        if (model_.empty()) {
            model_ = response["model"].text().bytes.substr(0, kMaxKept);
        }
        if (tells_ids_) {
            seen.id = response["id"].text().bytes;
            seen.previous_id = response["previous_response_id"].text().bytes;
        }
    }

    void terminal(std::string_view name, Value root, std::string_view data, Observation &seen) {
        Value response = root["response"];
        take_names(response, seen);
        seen.has_usage = read_usage(response["usage"], usage_);
        if (name == "response.failed") {
            fail(response, data, seen);
            return;
        }
        finish_ = finish_of(response).bytes.substr(0, kMaxKept);
        if (finish_.empty()) {
            finish_ = name.substr(name.find('.') + 1);
        }
        // A service may say all of it at the end only.
        if (!has_content_) {
            seen.is_content = has_content_ = response["output"].size() > 0;
        }
        has_end_ = true;
        seen.is_finish = true;
        seen.is_end = true;
    }

    void fail(Value root, std::string_view data, Observation &seen) {
        arena_.reset();
        error_ = read_error(0, root, data, arena_);
        has_end_ = true;
        seen.is_error = true;
        seen.is_end = true;
    }

    json::Reader reader_;
    Arena arena_;
    Usage usage_;
    ApiError error_;
    std::string model_;
    std::string finish_;
    const bool tells_ids_;
    bool has_content_ = false;
    bool has_end_ = false;
};

}  // namespace

std::unique_ptr<Observer> make_observer(const ObserverOptions &options) {
    return std::make_unique<ResponsesObserver>(options.ids);
}

bool observe_response(Value root, Usage &usage, JsonText &model, JsonText &finish) {
    bool is_answer = root.is_object() && !is_error_value(root["error"]) &&
                     (root["output"].is_array() || root["object"].equals("response"));
    if (!is_answer || root["status"].equals("failed")) {
        return false;
    }
    read_usage(root["usage"], usage);
    model = root["model"].text();
    finish = finish_of(root);
    return true;
}

}  // namespace llm::responses
