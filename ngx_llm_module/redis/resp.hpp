// The protocol of Redis: commands are written here, answers are read by hiredis. Plain C++ without
// nginx.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

struct redisReader;
struct redisReply;

namespace llm {

// The arguments of a command, as they go over the wire.
class RespArgs {
  public:
    RespArgs &add(std::string_view text) {
        add_length(text.size());
        bytes_.append(text).append("\r\n");
        count_++;
        return *this;
    }
    RespArgs &add(int64_t number) {
        char digits[24];
        auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
        return add(std::string_view(digits, size_t(end - digits)));
    }

    uint32_t count() const { return count_; }
    // Without the line that tells their number.
    const std::string &bytes() const { return bytes_; }

  private:
    void add_length(size_t size);

    std::string bytes_;
    uint32_t count_ = 0;
};

// The first line of a command of so many arguments.
void write_command_head(std::string &out, uint32_t count);

// One answer, or a part of it. Valid as long as the RespReader's next() was not called again.
class RedisReply {
  public:
    explicit RedisReply(const redisReply *reply) : reply_(reply) {}

    bool is_error() const;
    bool is_array() const;
    bool is_integer() const;
    // Of a text, a status or an error; else empty.
    std::string_view text() const;
    int64_t integer() const;  // 0 when it is none
    size_t size() const;      // of an array, else 0
    // An element that does not exist is like nil.
    RedisReply operator[](size_t index) const;
    // An error of this kind: its first word.
    bool is_error_of(std::string_view kind) const;

  private:
    const redisReply *reply_;
};

class RespReader {
  public:
    RespReader();
    ~RespReader();
    RespReader(const RespReader &) = delete;
    RespReader &operator=(const RespReader &) = delete;

    // False: this is not the protocol of Redis, or too large.
    bool feed(std::string_view bytes);
    // The next whole answer; false when there is none, or when the input cannot be read (is_bad).
    bool next();
    RedisReply reply() const { return RedisReply(current_); }
    bool is_bad() const { return is_bad_; }

  private:
    void free_current();

    redisReader *reader_;
    redisReply *current_ = nullptr;
    size_t fed_ = 0;  // since the last whole answer
    bool is_bad_ = false;
};

}  // namespace llm
