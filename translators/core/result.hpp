// Errors as values. Every function of this library that can fail returns a Result<T>; nothing
// here throws on purpose. `what` is always static text, so an error can be logged and shown
// without ever quoting a prompt or a key.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>

namespace llm {

enum class Errc : uint8_t {
    // the caller's mistake
    invalid_json,     // not JSON, or JSON that no provider would take
    invalid_request,  // JSON, but not a request of the dialect
    unsupported,      // the target cannot express this; `param` names it
    too_large,        // over one of our own limits
    // the provider's mistake
    upstream_protocol,  // an answer or event that cannot be understood
    stream_truncated,   // the stream ended before its terminal event
    // ours
    internal,
};

struct Error {
    Errc code = Errc::internal;
    std::string_view what;   // static text
    std::string_view param;  // the member at fault; static text or a view into the request body
    uint32_t offset = 0;     // byte offset in the input, where that is known
};

template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, error) {}

    explicit operator bool() const { return state_.index() == 0; }
    T &value() { return *std::get_if<0>(&state_); }
    const T &value() const { return *std::get_if<0>(&state_); }
    T &operator*() { return value(); }
    const T &operator*() const { return value(); }
    T *operator->() { return &value(); }
    const T *operator->() const { return &value(); }
    const Error &error() const { return *std::get_if<1>(&state_); }

  private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(error), failed_(true) {}

    explicit operator bool() const { return !failed_; }
    const Error &error() const { return error_; }

  private:
    Error error_;
    bool failed_ = false;
};

using Status = Result<void>;

inline Error invalid(std::string_view what, std::string_view param = {}) {
    return Error{Errc::invalid_request, what, param, 0};
}

inline Error unsupported(std::string_view what, std::string_view param) {
    return Error{Errc::unsupported, what, param, 0};
}

}  // namespace llm

// Leave the current function with the error of a Status or Result expression.
#define LLM_TRY(expression)                                      \
    do {                                                         \
        if (auto llm_try_status = (expression); !llm_try_status) \
            return llm_try_status.error();                       \
    } while (0)
