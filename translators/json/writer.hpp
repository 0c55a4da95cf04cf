// Writes JSON that cannot be malformed: the writer places every comma and colon itself and
// asserts (debug builds) that containers are closed in order. Output goes into a Sink of bytes.
//
//   Writer w(out);
//   w.object().key("model").text(model).key("n").number(1).end();
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "translators/json/text.hpp"

namespace llm {

// Where encoded bytes go. Contiguous and growing; clear() keeps the memory.
class ByteBuffer {
  public:
    ByteBuffer() = default;
    explicit ByteBuffer(std::string bytes) : bytes_(std::move(bytes)) {}

    void append(std::string_view bytes) { bytes_.append(bytes); }
    void append(char byte) { bytes_.push_back(byte); }
    void clear() { bytes_.clear(); }
    void reserve(size_t size) { bytes_.reserve(size); }
    size_t size() const { return bytes_.size(); }
    std::string_view view() const { return bytes_; }
    void truncate(size_t size) { bytes_.resize(size); }

  private:
    std::string bytes_;
};

namespace json {

class Writer {
  public:
    explicit Writer(ByteBuffer &out) : out_(out) {}

    Writer &object();                     // {
    Writer &array();                      // [
    Writer &end();                        // the matching bracket
    Writer &key(std::string_view plain);  // ASCII name that needs no escaping
    Writer &key(JsonText name);
    Writer &text(JsonText text);           // "..." from escaped bytes
    Writer &plain(std::string_view utf8);  // "..." with escaping
    Writer &raw(RawJson value);            // one whole value, trusted to be valid
    Writer &number(int64_t value);
    Writer &boolean(bool value);
    Writer &null();

    // A string in pieces: open_text, then any of the two, then close_text.
    Writer &open_text();
    Writer &piece(JsonText text);
    Writer &piece_plain(std::string_view utf8);
    Writer &close_text();

    ByteBuffer &out() { return out_; }

  private:
    void before_value();

    ByteBuffer &out_;
    uint64_t open_objects_ = 0;  // one bit a level, 1 = object; deeper levels are raw slices
    uint64_t has_elements_ = 0;
    uint8_t depth_ = 0;
    bool after_key_ = false;
};

// Escapes plain UTF-8 into `out` (no quotes). Bytes that are not UTF-8 become U+FFFD.
void append_escaped(std::string_view utf8, ByteBuffer &out);

}  // namespace json
}  // namespace llm
