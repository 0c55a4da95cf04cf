// JSON writer: commas and colons by itself, one bit a level for "object or array" and for "has
// elements". Levels beyond 64 do not occur: deeper JSON travels as a raw slice.
// Invariant: with balanced calls the output is valid JSON, given that raw slices are.
#include "translators/json/writer.hpp"

#include <cassert>
#include <charconv>

#include "translators/json/utf8.hpp"

namespace llm::json {

void Writer::before_value() {
    if (after_key_) {
        after_key_ = false;
        return;
    }
    if (depth_ == 0) {
        return;
    }
    uint64_t level = uint64_t{1} << (depth_ - 1);
    assert((open_objects_ & level) == 0 && "a member needs its name first");
    if ((has_elements_ & level) != 0) {
        out_.append(',');
    }
    has_elements_ |= level;
}

Writer &Writer::object() {
    before_value();
    assert(depth_ < 64);
    uint64_t level = uint64_t{1} << depth_++;
    open_objects_ |= level;
    has_elements_ &= ~level;
    out_.append('{');
    return *this;
}

Writer &Writer::array() {
    before_value();
    assert(depth_ < 64);
    uint64_t level = uint64_t{1} << depth_++;
    open_objects_ &= ~level;
    has_elements_ &= ~level;
    out_.append('[');
    return *this;
}

Writer &Writer::end() {
    assert(depth_ > 0 && !after_key_);
    uint64_t level = uint64_t{1} << --depth_;
    out_.append((open_objects_ & level) != 0 ? '}' : ']');
    return *this;
}

Writer &Writer::key(std::string_view plain) {
    return key(JsonText{plain});
}

Writer &Writer::key(JsonText name) {
    assert(depth_ > 0 && !after_key_);
    uint64_t level = uint64_t{1} << (depth_ - 1);
    assert((open_objects_ & level) != 0 && "a name outside an object");
    out_.append((has_elements_ & level) != 0 ? std::string_view(",\"") : std::string_view("\""));
    has_elements_ |= level;
    out_.append(name.bytes);
    out_.append("\":");
    after_key_ = true;
    return *this;
}

Writer &Writer::text(JsonText text) {
    before_value();
    out_.append('"');
    out_.append(text.bytes);
    out_.append('"');
    return *this;
}

Writer &Writer::plain(std::string_view utf8) {
    before_value();
    out_.append('"');
    append_escaped(utf8, out_);
    out_.append('"');
    return *this;
}

Writer &Writer::raw(RawJson value) {
    assert(!value.empty());
    before_value();
    out_.append(value.bytes);
    return *this;
}

Writer &Writer::number(int64_t value) {
    before_value();
    char digits[24];
    auto result = std::to_chars(digits, digits + sizeof(digits), value);
    out_.append({digits, static_cast<size_t>(result.ptr - digits)});
    return *this;
}

Writer &Writer::boolean(bool value) {
    before_value();
    out_.append(value ? std::string_view("true") : std::string_view("false"));
    return *this;
}

Writer &Writer::null() {
    before_value();
    out_.append("null");
    return *this;
}

Writer &Writer::open_text() {
    before_value();
    out_.append('"');
    return *this;
}

Writer &Writer::piece(JsonText text) {
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
