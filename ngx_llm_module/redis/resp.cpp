// The one place that knows hiredis: its reader turns bytes into answers. Nothing of its network
// code is used, because that blocks where names are resolved and knows no TLS.
#include "ngx_llm_module/redis/resp.hpp"

#include <hiredis/hiredis.h>

namespace llm {
namespace {

// Far above what our scripts answer; a table of all slots of a large cluster has some 100 KB.
constexpr size_t kMaxReply = 16 * 1024 * 1024;

// hiredis takes memory for as many elements as an answer announces.
constexpr int kMaxElements = 1024 * 1024;

redisReplyObjectFunctions usual, bounded;

// The number is an int or a size_t, as hiredis is older or newer.
template <class Number>
void *make_array(const redisReadTask *task, Number elements) noexcept {
    return elements > Number(kMaxElements) ? nullptr : usual.createArray(task, elements);
}

constexpr int kNilType = REDIS_REPLY_NIL;

}  // namespace

void RespArgs::add_length(size_t size) {
    char line[24];
    line[0] = '$';
    auto end = std::to_chars(line + 1, line + sizeof(line), size).ptr;
    bytes_.append(line, size_t(end - line)).append("\r\n");
}

void write_command_head(std::string &out, uint32_t count) {
    char line[16];
    line[0] = '*';
    auto end = std::to_chars(line + 1, line + sizeof(line), count).ptr;
    out.append(line, size_t(end - line)).append("\r\n");
}

static int type_of(const redisReply *reply) {
    return reply != nullptr ? reply->type : kNilType;
}

bool RedisReply::is_error() const {
    return type_of(reply_) == REDIS_REPLY_ERROR;
}

bool RedisReply::is_array() const {
    return type_of(reply_) == REDIS_REPLY_ARRAY;
}

bool RedisReply::is_integer() const {
    return type_of(reply_) == REDIS_REPLY_INTEGER;
}

std::string_view RedisReply::text() const {
    int type = type_of(reply_);
    if (type == REDIS_REPLY_STRING || type == REDIS_REPLY_STATUS || type == REDIS_REPLY_ERROR) {
        return {reply_->str, size_t(reply_->len)};
    }
    return {};
}

int64_t RedisReply::integer() const {
    return is_integer() ? reply_->integer : 0;
}

size_t RedisReply::size() const {
    return is_array() ? reply_->elements : 0;
}

RedisReply RedisReply::operator[](size_t index) const {
    return RedisReply(index < size() ? reply_->element[index] : nullptr);
}

bool RedisReply::is_error_of(std::string_view kind) const {
    std::string_view said = text();
    return is_error() && said.substr(0, said.find(' ')) == kind;
}

RespReader::RespReader() : reader_(redisReaderCreate()) {
    if (reader_ != nullptr) {
        usual = *reader_->fn;
        bounded = usual;
        bounded.createArray = make_array;
        reader_->fn = &bounded;
    }
}

RespReader::~RespReader() {
    free_current();
    if (reader_ != nullptr) {
        redisReaderFree(reader_);
    }
}

void RespReader::free_current() {
    if (current_ != nullptr) {
        freeReplyObject(current_);
        current_ = nullptr;
    }
}

bool RespReader::feed(std::string_view bytes) {
    fed_ += bytes.size();
    is_bad_ = is_bad_ || reader_ == nullptr || fed_ > kMaxReply ||
              redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK;
    return !is_bad_;
}

bool RespReader::next() {
    free_current();
    void *reply = nullptr;
    if (is_bad_ || redisReaderGetReply(reader_, &reply) != REDIS_OK) {
        is_bad_ = true;
        return false;
    }
    current_ = static_cast<redisReply *>(reply);
    if (current_ != nullptr) {
        fed_ = 0;
    }
    return current_ != nullptr;
}

}  // namespace llm
