// The provider's side of HTTP/1.x, without any socket: the head of an answer and the framing of
// its body, fed in pieces of any size.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "translators/core/result.hpp"

namespace llm::wire {

struct HttpHeader {
    std::string_view name;   // as sent; compare with same_name
    std::string_view value;  // trimmed
};

bool same_letters(std::string_view a, std::string_view b);       // of the same size
inline bool same_name(std::string_view a, std::string_view b) {  // ASCII, ignoring case
    return a.size() == b.size() && same_letters(a, b);
}
// A value with a control character in it would be more than one header line.
bool has_control(std::string_view value);

// Collects the status line and the headers of one answer. Limited by max_head.
class HttpHead {
  public:
    explicit HttpHead(size_t max_head = 64 * 1024) : max_head_(max_head) {}

    // Takes what belongs to the head and says how much that was; complete() tells when it ended.
    Result<size_t> feed(std::string_view bytes);
    bool complete() const { return complete_; }
    bool empty() const { return bytes_.empty(); }
    void reset();

    uint16_t status() const { return status_; }
    bool is_http10() const { return is_http10_; }
    const std::vector<HttpHeader> &headers() const { return headers_; }
    std::string_view find(std::string_view name) const;  // first of that name, or empty

  private:
    Status parse();

    bool complete_ = false;
    bool is_http10_ = false;
    uint16_t status_ = 0;
    size_t max_head_;
    std::string bytes_;
    std::vector<HttpHeader> headers_;
};

// Takes the framing off a body: chunked, a length, or until the connection ends.
class HttpBody {
  public:
    // Reads Transfer-Encoding and Content-Length; a contradiction or nonsense is an error.
    Status begin(const HttpHead &head);

    // Takes bytes off the front of `input` and returns the next run of body bytes in them (a view
    // into the input; empty when there is none). Call until `input` is empty or complete().
    Result<std::string_view> next(std::string_view &input);

    bool complete() const { return state_ == State::done; }
    // The end of the connection is the end of the body.
    bool ends_with_connection() const { return state_ == State::until_close; }

  private:
    enum class State : uint8_t {
        length,
        until_close,
        chunk_size,
        chunk_extension,
        chunk_size_lf,
        chunk_data,
        chunk_end_cr,
        chunk_end_lf,
        trailer_start,
        trailer_line,
        trailer_lf,
        done,
    };

    State state_ = State::done;
    uint64_t left_ = 0;      // of the length, or of the current chunk
    uint32_t digits_ = 0;    // of the chunk size read so far
    uint32_t overhead_ = 0;  // bytes of extensions and trailers, limited
};

}  // namespace llm::wire
