// HTTP/1.x answers in pieces (entries: HttpHead::feed, HttpBody::next). Strict where framing could
// be misread: a length and chunks together, two different lengths, or a malformed chunk are errors.
#include "translators/wire/http1.hpp"

#include <cstdint>
#include <cstring>

namespace llm::wire {
namespace {

constexpr uint32_t kMaxOverhead = 16 * 1024;
constexpr std::string_view kVersion = "HTTP/1.";

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? char(c + 32) : c;
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
        text.remove_suffix(1);
    }
    return text;
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool parse_length(std::string_view text, uint64_t &length) {
    if (text.empty() || text.size() > 18) {
        return false;
    }
    length = 0;
    for (char c : text) {
        if (c < '0' || c > '9') {
            return false;
        }
        length = length * 10 + uint64_t(c - '0');
    }
    return true;
}

Error protocol(std::string_view what) {
    return Error{Errc::upstream_protocol, what, {}, 0};
}

}  // namespace

bool same_letters(std::string_view a, std::string_view b) {
    for (size_t i = 0; i < a.size(); i++) {
        if (a[i] != b[i] && lower(a[i]) != lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool has_control(std::string_view value) {
    // Eight bytes at a time: the high bit of a byte is set where it is below 0x20, or 0x7f. A carry
    // may mark the byte behind such a one as well, never another.
    constexpr uint64_t kOnes = 0x0101010101010101;
    constexpr uint64_t kHigh = 0x8080808080808080;
    auto marks = [](uint64_t bytes) {
        uint64_t del = bytes ^ (kOnes * 0x7f);
        return (((bytes - kOnes * 0x20) & ~bytes) | ((del - kOnes) & ~del)) & kHigh;
    };
    size_t at = 0;
    for (; at + 8 <= value.size(); at += 8) {
        uint64_t bytes = 0;
        memcpy(&bytes, value.data() + at, 8);
        if (marks(bytes) != 0) {
            return true;
        }
    }
    for (; at < value.size(); at++) {
        auto c = static_cast<unsigned char>(value[at]);
        if (c < 0x20 || c == 0x7f) {
            return true;
        }
    }
    return false;
}

void HttpHead::reset() {
    bytes_.clear();
    headers_.clear();
    status_ = 0;
    complete_ = false;
}

Result<size_t> HttpHead::feed(std::string_view bytes) {
    // An empty line ends the head: look for it from a little before the new bytes on.
    size_t before = bytes_.size();
    size_t from = before < 3 ? 0 : before - 3;
    size_t room = max_head_ - before;
    bytes_.append(bytes.substr(0, room));
    // Whoever speaks something else may never send an empty line.
    if (before < kVersion.size() &&
        !std::string_view(bytes_).starts_with(kVersion.substr(0, bytes_.size()))) {
        return protocol("the provider does not speak HTTP/1");
    }
    for (size_t at = bytes_.find('\n', from); at != std::string::npos;
         at = bytes_.find('\n', at + 1)) {
        size_t end = 0;
        if (bytes_.compare(at + 1, 1, "\n") == 0) {
            end = at + 2;
        } else if (bytes_.compare(at + 1, 2, "\r\n") == 0) {
            end = at + 3;
        } else {
            continue;
        }
        bytes_.resize(end);
        LLM_TRY(parse());
        complete_ = true;
        return end - before;
    }
    if (bytes_.size() == max_head_) {
        return protocol("the provider's header is too large");
    }
    return bytes.size();
}

Status HttpHead::parse() {
    std::string_view rest(bytes_);
    bool is_first = true;
    headers_.reserve(24);
    while (!rest.empty()) {
        size_t end = rest.find('\n');
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end + 1);
        if (!line.empty() && line.back() == '\r') {
            line.remove_suffix(1);
        }
        if (is_first) {
            is_first = false;
            // HTTP/1.x SP 3 digits
            if (line.size() < 12 || !line.starts_with(kVersion) || line[8] != ' ') {
                return protocol("the provider's status line is malformed");
            }
            uint64_t status = 0;
            if (!parse_length(line.substr(9, 3), status) || status < 100 ||
                (line.size() > 12 && line[12] != ' ')) {
                return protocol("the provider's status line is malformed");
            }
            status_ = uint16_t(status);
            is_http10_ = line[7] == '0';
            continue;
        }
        if (line.empty()) {
            break;
        }
        size_t colon = line.find(':');
        if (colon == 0 || colon == std::string_view::npos) {
            return protocol("a header of the provider is malformed");
        }
        headers_.push_back({line.substr(0, colon), trim(line.substr(colon + 1))});
    }
    return is_first ? Status(protocol("the provider's status line is malformed")) : Status();
}

std::string_view HttpHead::find(std::string_view name) const {
    for (const HttpHeader &header : headers_) {
        if (same_name(header.name, name)) {
            return header.value;
        }
    }
    return {};
}

Status HttpBody::begin(const HttpHead &head) {
    bool is_chunked = false;
    bool has_length = false;
    uint64_t length = 0;
    for (const HttpHeader &header : head.headers()) {
        if (same_name(header.name, "transfer-encoding")) {
            if (!same_name(header.value, "chunked") || is_chunked) {
                return protocol("unknown transfer encoding of the provider");
            }
            is_chunked = true;
        } else if (same_name(header.name, "content-length")) {
            uint64_t value = 0;
            if (!parse_length(header.value, value) || (has_length && value != length)) {
                return protocol("invalid content length of the provider");
            }
            has_length = true;
            length = value;
        }
    }
    if (is_chunked && has_length) {
        return protocol("the provider sent both a length and chunks");
    }
    digits_ = 0;
    overhead_ = 0;
    left_ = length;
    if (head.status() == 204 || head.status() == 304) {
        state_ = State::done;
    } else if (is_chunked) {
        state_ = State::chunk_size;
        left_ = 0;
    } else if (has_length) {
        state_ = length == 0 ? State::done : State::length;
    } else {
        state_ = State::until_close;
    }
    return {};
}

Result<std::string_view> HttpBody::next(std::string_view &input) {
    while (!input.empty()) {
        if (state_ == State::until_close || state_ == State::length ||
            state_ == State::chunk_data) {
            size_t size = input.size();
            if (state_ != State::until_close && size > left_) {
                size = size_t(left_);
            }
            std::string_view run = input.substr(0, size);
            input.remove_prefix(size);
            left_ -= state_ == State::until_close ? 0 : size;
            if (left_ == 0 && state_ == State::length) {
                state_ = State::done;
            } else if (left_ == 0 && state_ == State::chunk_data) {
                state_ = State::chunk_end_cr;
            }
            return run;
        }
        if (state_ == State::done) {
            break;
        }

        char c = input.front();
        input.remove_prefix(1);
        switch (state_) {
            case State::chunk_size:
                if (int digit = hex_digit(c); digit >= 0) {
                    if (++digits_ > 15) {
                        return protocol("a chunk of the provider is too large");
                    }
                    left_ = left_ * 16 + uint64_t(digit);
                } else if (digits_ == 0) {
                    return protocol("a chunk of the provider is malformed");
                } else if (c == '\r') {
                    state_ = State::chunk_size_lf;
                } else if (c == ';' || c == ' ' || c == '\t') {
                    state_ = State::chunk_extension;
                } else {
                    return protocol("a chunk of the provider is malformed");
                }
                break;
            case State::chunk_extension:
                if (c == '\r') {
                    state_ = State::chunk_size_lf;
                } else if (++overhead_ > kMaxOverhead) {
                    return protocol("chunk extensions of the provider are too large");
                }
                break;
            case State::chunk_size_lf:
                if (c != '\n') {
                    return protocol("a chunk of the provider is malformed");
                }
                digits_ = 0;
                state_ = left_ == 0 ? State::trailer_start : State::chunk_data;
                break;
            case State::chunk_end_cr:
                if (c != '\r') {
                    return protocol("a chunk of the provider is malformed");
                }
                state_ = State::chunk_end_lf;
                break;
            case State::chunk_end_lf:
                if (c != '\n') {
                    return protocol("a chunk of the provider is malformed");
                }
                state_ = State::chunk_size;
                break;
            case State::trailer_start:
                state_ = c == '\r' ? State::trailer_lf : State::trailer_line;
                break;
            case State::trailer_line:
                if (c == '\n') {
                    state_ = State::trailer_start;
                } else if (++overhead_ > kMaxOverhead) {
                    return protocol("trailers of the provider are too large");
                }
                break;
            case State::trailer_lf:
                if (c != '\n') {
                    return protocol("a trailer of the provider is malformed");
                }
                state_ = State::done;
                break;
            case State::length:
            case State::until_close:
            case State::chunk_data:
            case State::done:
                break;
        }
    }
    return std::string_view();
}

}  // namespace llm::wire
