// Messages of an AWS event stream out of bytes that are cut anywhere: a prelude of twelve bytes
// (length of all, length of the headers, their CRC-32), headers, payload, CRC-32 of everything
// before it, all big endian.
//
// Entry points: feed, finish. Invariants: pending_ never holds a whole message, nor more than
// max_message_ bytes; a message is handed out only with both check sums right.
#include "translators/wire/aws_eventstream.hpp"

#include <zlib.h>

#include <algorithm>

#include "translators/json/reader.hpp"

namespace llm::wire {

namespace {

constexpr size_t kPrelude = 12;
constexpr size_t kSum = 4;
constexpr size_t kMaxHeaders = 128u << 10;
constexpr size_t kKeepCapacity = 256u << 10;

Error broken(std::string_view what) {
    return Error{Errc::upstream_protocol, what, {}, 0};
}

uint32_t big_endian(std::string_view bytes, size_t at, size_t size) {
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) {
        value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    }
    return value;
}

uint32_t sum_of(std::string_view bytes) {
    return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef *>(bytes.data()),
                                         static_cast<z_size_t>(bytes.size())));
}

// Steps over the headers one by one; of their values only strings are of use.
class Headers {
  public:
    explicit Headers(std::string_view bytes) : rest_(bytes) {}

    bool is_at_end() const { return rest_.empty(); }

    // False when the header runs past the end or is of no known type.
    bool next(std::string_view &name, std::string_view &text) {
        std::string_view type;
        if (!take_sized(1, name) || !take(1, type)) {
            return false;
        }
        text = {};
        std::string_view skipped;
        switch (type[0]) {
            case 0:  // true
            case 1:  // false
                return true;
            case 2:  // byte
                return take(1, skipped);
            case 3:  // short
                return take(2, skipped);
            case 4:  // integer
                return take(4, skipped);
            case 5:  // long
            case 8:  // timestamp
                return take(8, skipped);
            case 9:  // uuid
                return take(16, skipped);
            case 6:  // bytes
                return take_sized(2, skipped);
            case 7:
                return take_sized(2, text);
            default:
                return false;
        }
    }

  private:
    bool take(size_t size, std::string_view &into) {
        if (rest_.size() < size) {
            return false;
        }
        into = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return true;
    }

    bool take_sized(size_t length_bytes, std::string_view &into) {
        std::string_view length;
        return take(length_bytes, length) && take(big_endian(length, 0, length_bytes), into);
    }

    std::string_view rest_;
};

}  // namespace

Status AwsSplitter::feed(std::string_view bytes, AwsHandler &handler) {
    if (has_failed_) {
        return error_;
    }
    Status status = feed_good(bytes, handler);
    if (!status) {
        has_failed_ = true;
        error_ = status.error();
    }
    return status;
}

Status AwsSplitter::feed_good(std::string_view bytes, AwsHandler &handler) {
    // Finish the message that began in earlier bytes: only it is copied.
    while (!pending_.empty()) {
        size_t wanted = kPrelude;
        if (pending_.size() >= kPrelude) {
            Result<size_t> size = message_size(pending_);
            if (!size) {
                return size.error();
            }
            wanted = *size;
        }
        size_t count = std::min(wanted - pending_.size(), bytes.size());
        pending_.append(bytes.substr(0, count));
        bytes.remove_prefix(count);
        if (pending_.size() < wanted) {
            return {};
        }
        if (wanted == kPrelude) {
            continue;
        }
        pending_.reserve(pending_.size() + json::kPadding);
        Status status = dispatch(pending_, handler);
        pending_.clear();
        if (pending_.capacity() > kKeepCapacity) {
            std::string().swap(pending_);
        }
        LLM_TRY(status);
    }
    while (bytes.size() >= kPrelude) {
        Result<size_t> size = message_size(bytes);
        if (!size) {
            return size.error();
        }
        if (bytes.size() < *size) {
            break;
        }
        LLM_TRY(dispatch(bytes.substr(0, *size), handler));
        bytes.remove_prefix(*size);
    }
    pending_.assign(bytes);
    return {};
}

Status AwsSplitter::finish() const {
    if (has_failed_) {
        return error_;
    }
    if (!pending_.empty()) {
        return Error{Errc::stream_truncated, "the stream ended inside a message", {}, 0};
    }
    return {};
}

Result<size_t> AwsSplitter::message_size(std::string_view prelude) const {
    if (big_endian(prelude, 8, kSum) != sum_of(prelude.substr(0, 8))) {
        return broken("wrong check sum of a message's prelude");
    }
    size_t size = big_endian(prelude, 0, 4);
    size_t headers = big_endian(prelude, 4, 4);
    if (size < kPrelude + kSum || size > max_message_) {
        return broken("length of a message out of range");
    }
    if (headers > size - kPrelude - kSum || headers > kMaxHeaders) {
        return broken("length of a message's headers out of range");
    }
    return size;
}

Status AwsSplitter::dispatch(std::string_view raw, AwsHandler &handler) {
    size_t end = raw.size() - kSum;
    if (big_endian(raw, end, kSum) != sum_of(raw.substr(0, end))) {
        return broken("wrong check sum of a message");
    }
    size_t headers_size = big_endian(raw, 4, 4);
    std::string_view type, event, exception, code, text;
    for (Headers headers(raw.substr(kPrelude, headers_size)); !headers.is_at_end();) {
        std::string_view name, value;
        if (!headers.next(name, value)) {
            return broken("a message's headers cannot be read");
        }
        if (name == ":message-type") {
            type = value;
        } else if (name == ":event-type") {
            event = value;
        } else if (name == ":exception-type") {
            exception = value;
        } else if (name == ":error-code") {
            code = value;
        } else if (name == ":error-message") {
            text = value;
        }
    }
    AwsMessage message;
    message.raw = raw;
    message.payload = raw.substr(kPrelude + headers_size, end - kPrelude - headers_size);
    // Streams made by hand lack the message type.
    if (type == "exception" || (type.empty() && !exception.empty())) {
        message.kind = AwsMessageKind::exception;
        message.name = exception;
    } else if (type == "error") {
        message.kind = AwsMessageKind::error;
        message.name = code;
        message.error_text = text;
    } else {
        message.name = event;
    }
    return handler.on_aws(message);
}

}  // namespace llm::wire
