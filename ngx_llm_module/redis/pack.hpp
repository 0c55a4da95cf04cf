// MessagePack, as the scripts take and give it: flat arrays of numbers and texts. Plain C++ without
// nginx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace llm {

class PackWriter {
  public:
    PackWriter &add(int64_t number) {
        if (number < 0 || number > 127) {
            return add_long(number);
        }
        count_++;
        bytes_.push_back(char(number));
        return *this;
    }
    PackWriter &add(std::string_view text);
    // All of another one.
    PackWriter &add(const PackWriter &other);

    // So many bytes are to be expected.
    void reserve(size_t bytes) { bytes_.reserve(bytes); }

    uint32_t count() const { return count_; }
    // The elements, without the head of an array.
    const std::string &bytes() const { return bytes_; }
    // As one array.
    std::string array() const;

  private:
    PackWriter &add_long(int64_t number);
    // The tag, and so many of the number's bytes.
    void add_tagged(unsigned char tag, uint64_t number, size_t bytes);

    std::string bytes_;
    uint32_t count_ = 0;
};

// Reads an array of numbers, one after the other. What cannot be read, or is not there, is 0 and
// makes it bad for good.
class PackReader {
  public:
    explicit PackReader(std::string_view bytes);

    int64_t number();
    bool is_bad() const { return is_bad_; }

  private:
    uint64_t big_endian(size_t bytes);

    std::string_view bytes_;
    size_t left_ = 0;
    bool is_bad_ = false;
};

}  // namespace llm
