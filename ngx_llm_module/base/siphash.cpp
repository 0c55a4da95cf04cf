#include "ngx_llm_module/base/siphash.hpp"

#include <cstring>

namespace llm {
namespace {

uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

struct Sip {
    uint64_t v0, v1, v2, v3;

    void rounds(int count) {
        while (count-- > 0) {
            v0 += v1;
            v1 = rotate(v1, 13) ^ v0;
            v0 = rotate(v0, 32);
            v2 += v3;
            v3 = rotate(v3, 16) ^ v2;
            v0 += v3;
            v3 = rotate(v3, 21) ^ v0;
            v2 += v1;
            v1 = rotate(v1, 17) ^ v2;
            v2 = rotate(v2, 32);
        }
    }
    uint64_t all() const { return v0 ^ v1 ^ v2 ^ v3; }
};

}  // namespace

Sip128 siphash(const uint64_t (&key)[2], std::string_view name) {
    Sip sip{key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du ^ 0xeeu,
            key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    size_t whole = name.size() / 8 * 8;
    for (size_t at = 0; at <= whole; at += 8) {
        uint64_t word = 0;
        if (at < whole) {
            memcpy(&word, name.data() + at, 8);
        } else {
            memcpy(&word, name.data() + at, name.size() - whole);
            word |= uint64_t(name.size()) << 56;
        }
        sip.v3 ^= word;
        sip.rounds(2);
        sip.v0 ^= word;
    }
    sip.v2 ^= 0xee;
    sip.rounds(4);
    Sip128 id{sip.all(), 0};
    sip.v1 ^= 0xdd;
    sip.rounds(4);
    id.high = sip.all();
    return id;
}

}  // namespace llm
