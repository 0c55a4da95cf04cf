// Writes JSON that cannot be malformed: the writer places every comma and colon itself and
// asserts (debug builds) that containers are closed in order. Output goes into a Sink of bytes.
//
//   Writer w(out);
//   w.object().key("model").text(model).key("n").number(1).end();
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "translators/json/text.hpp"

namespace llm {

// Where encoded bytes go. Contiguous and growing; clear() keeps the memory. Most of what is written
// are a few bytes: that is done in place, with nothing but a look at the room that is left.
class ByteBuffer {
  public:
    ByteBuffer() = default;
    explicit ByteBuffer(std::string_view bytes) { append(bytes); }
    ByteBuffer(ByteBuffer &&other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    ByteBuffer &operator=(ByteBuffer &&other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        other.clear();  // it keeps our memory, for the next event
        return *this;
    }
    ~ByteBuffer() { release(); }

    void append(std::string_view bytes) {
        if (!bytes.empty()) {
            memcpy(room(bytes.size()), bytes.data(), bytes.size());
            size_ += bytes.size();
        }
    }
    void append(char byte) {
        *room(1) = byte;
        size_++;
    }
    // So many zeros behind the last byte, for a reader that wants them.
    void pad(size_t size) {
        memset(room(size), 0, size);
        size_ += size;
    }
    // Writing in place: room for so many bytes behind the last one, of which `size` are taken.
    char *room(size_t size) {
        if (size > capacity_ - size_) {
            grow(size);
        }
        return data_ + size_;
    }
    void take(size_t size) { size_ += size; }

    void clear() { size_ = 0; }
    void reserve(size_t size) {
        if (size > capacity_) {
            grow(size - size_);
        }
    }
    size_t size() const { return size_; }
    std::string_view view() const { return {data_, size_}; }
    void truncate(size_t size) { size_ = size; }

  private:
    void grow(size_t size);
    void release();

    char *data_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
};

namespace json {

// A long text that was not copied: it belongs into the output before the byte at `at`.
struct Borrowed {
    size_t at;
    std::string_view bytes;
};

class Writer {
  public:
    // So long must a text be: below, copying it costs less than sending one more piece.
    static constexpr size_t kLeastBorrowed = 32 * 1024;

    explicit Writer(ByteBuffer &out) : out_(out) {}

    // Long texts and values of `lender`, which stays as long as the output is needed, are left
    // where they are and added to `borrowed`, in order.
    void borrow(std::string_view lender, std::vector<Borrowed> &borrowed) {
        lender_ = lender;
        borrowed_ = &borrowed;
    }

    Writer &object();                                                     // {
    Writer &array();                                                      // [
    Writer &end();                                                        // the matching bracket
    Writer &key(std::string_view plain) { return key(JsonText{plain}); }  // needs no escaping
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
    char *before_value(char *to);
    Writer &open(char bracket, uint64_t is_object);
    Writer &quoted(std::string_view bytes);
    Writer &written(std::string_view bytes);
    bool is_borrowed(std::string_view bytes) const;

    ByteBuffer &out_;
    std::string_view lender_;
    std::vector<Borrowed> *borrowed_ = nullptr;
    uint64_t open_objects_ = 0;  // one bit a level, 1 = object; deeper levels are raw slices
    uint64_t has_elements_ = 0;
    uint8_t depth_ = 0;
    bool after_key_ = false;
};

// Escapes plain UTF-8 into `out` (no quotes). Bytes that are not UTF-8 become U+FFFD.
void append_escaped(std::string_view utf8, ByteBuffer &out);

}  // namespace json
}  // namespace llm
