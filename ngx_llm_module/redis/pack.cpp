// MessagePack: its numbers, short and long texts, and the heads of arrays.
#include "ngx_llm_module/redis/pack.hpp"

#include <cstring>

namespace llm {
namespace {

enum Tag : unsigned char {
    kShortArray = 0x90,
    kShortText = 0xa0,
    kFloat32 = 0xca,
    kFloat64 = 0xcb,
    kUnsigned8 = 0xcc,
    kUnsigned64 = 0xcf,
    kSigned8 = 0xd0,
    kSigned16 = 0xd1,
    kSigned32 = 0xd2,
    kSigned64 = 0xd3,
    kText8 = 0xd9,
    kText16 = 0xda,
    kText32 = 0xdb,
    kArray16 = 0xdc,
    kArray32 = 0xdd,
    kFirstNegative = 0xe0,
};

}  // namespace

void PackWriter::add_tagged(unsigned char tag, uint64_t number, size_t bytes) {
    // All of it is turned, and the end of that taken: compilers know this loop.
    char text[9];
    for (int i = 0; i < 8; i++) {
        text[i + 1] = char(number >> (56 - 8 * i));
    }
    char *begin = text + sizeof(text) - bytes - 1;
    *begin = char(tag);
    bytes_.append(begin, bytes + 1);
}

PackWriter &PackWriter::add_long(int64_t number) {
    count_++;
    if (number >= INT16_MIN && number <= INT16_MAX) {
        add_tagged(kSigned16, uint64_t(number), 2);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
        add_tagged(kSigned32, uint64_t(number), 4);
    } else {
        add_tagged(kSigned64, uint64_t(number), 8);
    }
    return *this;
}

PackWriter &PackWriter::add(std::string_view text) {
    count_++;
    if (text.size() < 32) {
        bytes_.push_back(char(kShortText | text.size()));
    } else if (text.size() < 256) {
        add_tagged(kText8, text.size(), 1);
    } else {
        add_tagged(kText32, text.size(), 4);
    }
    bytes_.append(text);
    return *this;
}

PackWriter &PackWriter::add(const PackWriter &other) {
    count_ += other.count_;
    bytes_.append(other.bytes_);
    return *this;
}

std::string PackWriter::array() const {
    PackWriter head;
    head.bytes_.reserve(bytes_.size() + 5);
    head.add_tagged(kArray32, count_, 4);
    return std::move(head.bytes_.append(bytes_));
}

PackReader::PackReader(std::string_view bytes) : bytes_(bytes) {
    auto tag = uint8_t(big_endian(1));
    if ((tag & 0xf0) == kShortArray) {
        left_ = tag & 0x0f;
    } else if (tag == kArray16) {
        left_ = big_endian(2);
    } else if (tag == kArray32) {
        left_ = big_endian(4);
    } else {
        is_bad_ = true;
    }
}

uint64_t PackReader::big_endian(size_t bytes) {
    if (is_bad_ || bytes_.size() < bytes) {
        is_bad_ = true;
        return 0;
    }
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++) {
        number = number << 8 | uint8_t(bytes_[i]);
    }
    bytes_.remove_prefix(bytes);
    return number;
}

int64_t PackReader::number() {
    if (left_ == 0) {
        is_bad_ = true;
        return 0;
    }
    left_--;
    auto tag = uint8_t(big_endian(1));
    if (tag < 0x80) {
        return tag;
    }
    if (tag >= kFirstNegative) {
        return int8_t(tag);
    }
    if (tag >= kUnsigned8 && tag <= kUnsigned64) {
        return int64_t(big_endian(size_t(1) << (tag - kUnsigned8)));
    }
    switch (tag) {
        case kSigned8:
            return int8_t(big_endian(1));
        case kSigned16:
            return int16_t(big_endian(2));
        case kSigned32:
            return int32_t(big_endian(4));
        case kSigned64:
            return int64_t(big_endian(8));
        case kFloat32: {
            auto bits = uint32_t(big_endian(4));
            float value;
            memcpy(&value, &bits, sizeof(value));
            return value > -9e18F && value < 9e18F ? int64_t(value) : 0;
        }
        case kFloat64: {
            uint64_t bits = big_endian(8);
            double value;
            memcpy(&value, &bits, sizeof(value));
            return value > -9e18 && value < 9e18 ? int64_t(value) : 0;
        }
        default:
            is_bad_ = true;
            return 0;
    }
}

}  // namespace llm
