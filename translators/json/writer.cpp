// JSON writer: commas and colons by itself, one bit a level for "object or array" and for "has
// elements". Levels beyond 64 do not occur: deeper JSON travels as a raw slice.
// Invariant: with balanced calls the output is valid JSON, given that raw slices are.
#include "translators/json/writer.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <memory>

#include "translators/json/utf8.hpp"

namespace llm {

void ByteBuffer::grow(size_t size) {
    constexpr size_t kLeast = 64;
    size_t capacity = std::max({size_ + size, capacity_ * 2, kLeast});
    char *data = std::allocator<char>().allocate(capacity);
    if (size_ > 0) {
        memcpy(data, data_, size_);
    }
    size_t used = size_;
    release();
    data_ = data;
    size_ = used;
    capacity_ = capacity;
}

void ByteBuffer::release() {
    if (data_ != nullptr) {
        std::allocator<char>().deallocate(data_, capacity_);
    }
    data_ = nullptr;
    size_ = capacity_ = 0;
}

}  // namespace llm

namespace llm::json {

namespace {

char *put(char *to, std::string_view bytes) {
    return std::copy(bytes.begin(), bytes.end(), to);
}

}  // namespace

// A comma where one belongs; one byte at most.
char *Writer::before_value(char *to) {
    if (after_key_) {
        after_key_ = false;
        return to;
    }
    if (depth_ == 0) {
        return to;
    }
    uint64_t level = uint64_t{1} << (depth_ - 1);
    assert((open_objects_ & level) == 0 && "a member needs its name first");
    if ((has_elements_ & level) != 0) {
        *to++ = ',';
    }
    has_elements_ |= level;
    return to;
}

Writer &Writer::open(char bracket, uint64_t is_object) {
    char *begin = out_.room(2);
    char *to = before_value(begin);
    assert(depth_ < 64);
    uint64_t level = uint64_t{1} << depth_;
    open_objects_ = (open_objects_ & ~level) | (is_object << depth_);
    has_elements_ &= ~level;
    depth_++;
    *to++ = bracket;
    out_.take(size_t(to - begin));
    return *this;
}

Writer &Writer::object() {
    return open('{', 1);
}

Writer &Writer::array() {
    return open('[', 0);
}

Writer &Writer::end() {
    assert(depth_ > 0 && !after_key_);
    uint64_t level = uint64_t{1} << --depth_;
    out_.append((open_objects_ & level) != 0 ? '}' : ']');
    return *this;
}

Writer &Writer::key(JsonText name) {
    assert(depth_ > 0 && !after_key_);
    uint64_t level = uint64_t{1} << (depth_ - 1);
    assert((open_objects_ & level) != 0 && "a name outside an object");
    char *begin = out_.room(name.bytes.size() + 4);
    char *to = begin;
    if ((has_elements_ & level) != 0) {
        *to++ = ',';
    }
    has_elements_ |= level;
    *to++ = '"';
    to = put(to, name.bytes);
    *to++ = '"';
    *to++ = ':';
    out_.take(size_t(to - begin));
    after_key_ = true;
    return *this;
}

bool Writer::is_borrowed(std::string_view bytes) const {
    if (bytes.size() < kLeastBorrowed || borrowed_ == nullptr) {
        return false;
    }
    auto from = reinterpret_cast<uintptr_t>(bytes.data());
    auto lender = reinterpret_cast<uintptr_t>(lender_.data());
    return from >= lender && from + bytes.size() <= lender + lender_.size();
}

Writer &Writer::quoted(std::string_view bytes) {
    if (is_borrowed(bytes)) {
        return open_text().piece({bytes}).close_text();
    }
    char *begin = out_.room(bytes.size() + 3);
    char *to = before_value(begin);
    *to++ = '"';
    to = put(to, bytes);
    *to++ = '"';
    out_.take(size_t(to - begin));
    return *this;
}

Writer &Writer::written(std::string_view bytes) {
    if (is_borrowed(bytes)) {
        char *begin = out_.room(1);
        out_.take(size_t(before_value(begin) - begin));
        borrowed_->push_back({out_.size(), bytes});
        return *this;
    }
    char *begin = out_.room(bytes.size() + 1);
    char *to = put(before_value(begin), bytes);
    out_.take(size_t(to - begin));
    return *this;
}

Writer &Writer::text(JsonText text) {
    return quoted(text.bytes);
}

Writer &Writer::plain(std::string_view utf8) {
    if (plain_run(utf8) == utf8.size()) {
        return quoted(utf8);
    }
    open_text();
    append_escaped(utf8, out_);
    return close_text();
}

Writer &Writer::raw(RawJson value) {
    assert(!value.empty());
    return written(value.bytes);
}

Writer &Writer::number(int64_t value) {
    char digits[24];
    auto result = std::to_chars(digits, digits + sizeof(digits), value);
    return written({digits, static_cast<size_t>(result.ptr - digits)});
}

Writer &Writer::boolean(bool value) {
    return written(value ? "true" : "false");
}

Writer &Writer::null() {
    return written("null");
}

Writer &Writer::open_text() {
    char *begin = out_.room(2);
    char *to = before_value(begin);
    *to++ = '"';
    out_.take(size_t(to - begin));
    return *this;
}

Writer &Writer::piece(JsonText text) {
    if (is_borrowed(text.bytes)) {
        borrowed_->push_back({out_.size(), text.bytes});
        return *this;
    }
    out_.append(text.bytes);
    return *this;
}

Writer &Writer::piece_plain(std::string_view utf8) {
    append_escaped(utf8, out_);
    return *this;
}

Writer &Writer::close_text() {
    out_.append('"');
    return *this;
}

void append_escaped(std::string_view utf8, ByteBuffer &out) {
    for (size_t i = 0; i < utf8.size();) {
        size_t run = plain_run(utf8.substr(i));
        out.append(utf8.substr(i, run));
        i += run;
        if (i < utf8.size()) {
            char piece[6];
            size_t size = escape_one(utf8, i, piece);
            out.append({piece, size});
        }
    }
}

}  // namespace llm::json
