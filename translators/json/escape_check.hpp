// The escapes of a JSON document, looked at in the order in which its strings are: sixty-four bytes
// at a time, because texts of code have an escape every twenty bytes or so. Part of reader.cpp.
//
// Invariants: no byte outside of the document is read; no byte is searched for a backslash twice
// (but those between two strings and behind a long text without any).
#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace llm::json {

class EscapeCheck {
  public:
    // has_none: the caller knows that there is no backslash.
    EscapeCheck(std::string_view document, bool has_none, bool allows_lone_surrogates)
        : base_(document.data()),
          length_(static_cast<uint32_t>(document.size())),
          allows_lone_surrogates_(allows_lone_surrogates) {
        if (!has_none) {
            find(0);
        }
    }

    // There is none between the strings that were checked and `end`.
    bool is_plain_until(uint32_t end) const { return next_ >= end; }
    // The inside of the next string. False: wrong() at wrong_at().
    bool check(uint32_t begin, uint32_t end);
    std::string_view wrong() const { return wrong_; }
    uint32_t wrong_at() const { return wrong_at_; }

  private:
    static constexpr uint32_t kBlock = 64;
    static constexpr uint32_t kNone = UINT32_MAX;

    // What makes an escape of two bytes with a backslash before it, another backslash apart.
    static constexpr auto kIsLetter = [] {
        std::array<bool, 256> is_letter{};
        for (char c : std::string_view("\"/bfnrt")) {
            is_letter[static_cast<unsigned char>(c)] = true;
        }
        return is_letter;
    }();

    static uint32_t first_of(uint64_t places) {
        return static_cast<uint32_t>(__builtin_ctzll(places));  // there is one
    }
    static uint64_t places_before(uint32_t place) {
        return place < kBlock ? (uint64_t{1} << place) - 1 : ~uint64_t{0};
    }
    static uint64_t backslashes_of(const char *block);
    uint64_t backslashes_from(uint32_t from) const;
    void find(uint32_t from);
    int32_t code_unit(uint32_t at, uint32_t end) const;
    uint32_t escape_size(uint32_t at, uint32_t end);
    uint32_t fail(std::string_view what, uint32_t at) {
        wrong_ = what;
        wrong_at_ = at;
        return 0;
    }

    const char *base_;
    uint32_t length_;
    uint32_t next_ = kNone;     // the first backslash that was not looked at
    uint32_t block_ = 0;        // where the block with it begins
    uint64_t backslashes_ = 0;  // of this block, from that one on
    bool allows_lone_surrogates_;
    uint32_t wrong_at_ = 0;
    std::string_view wrong_;
};

// A bit for each place of a block.
inline uint64_t EscapeCheck::backslashes_of(const char *block) {
#if defined(__SSE2__)
    auto sixteen = [block](unsigned at) {
        __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(block + at));
        int found = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        return uint64_t{static_cast<unsigned>(found)} << at;
    };
    return sixteen(0) | sixteen(16) | sixteen(32) | sixteen(48);
#else
    uint64_t found = 0;
    for (unsigned i = 0; i < kBlock; ++i) {
        found |= uint64_t{block[i] == '\\'} << i;
    }
    return found;
#endif
}

inline uint64_t EscapeCheck::backslashes_from(uint32_t from) const {
    if (length_ - from >= kBlock) {
        return backslashes_of(base_ + from);
    }
    char rest[kBlock] = {};
    memcpy(rest, base_ + from, length_ - from);
    return backslashes_of(rest);
}

// The first one from here on. Near ones are found without a call.
inline void EscapeCheck::find(uint32_t from) {
    next_ = kNone;
    for (int step = 1; from < length_; ++step, from += kBlock) {
        if (step == 3) {
            const void *found = memchr(base_ + from, '\\', length_ - from);
            if (found == nullptr) {
                return;
            }
            from = static_cast<uint32_t>(static_cast<const char *>(found) - base_);
        }
        backslashes_ = backslashes_from(from);
        if (backslashes_ != 0) {
            block_ = from;
            next_ = from + first_of(backslashes_);
            return;
        }
    }
}

// -1 when no \uXXXX stands at `at`.
inline int32_t EscapeCheck::code_unit(uint32_t at, uint32_t end) const {
    if (at > end || end - at < 6 || base_[at] != '\\' || base_[at + 1] != 'u') {
        return -1;
    }
    int32_t unit = 0;
    for (uint32_t i = at + 2; i < at + 6; ++i) {
        char c = base_[i];
        char lower = static_cast<char>(c | 0x20);
        if (c >= '0' && c <= '9') {
            unit = unit * 16 + (c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            unit = unit * 16 + (lower - 'a' + 10);
        } else {
            return -1;
        }
    }
    return unit;
}

// Of an escape that is none of the letters; 0: it is none.
inline uint32_t EscapeCheck::escape_size(uint32_t at, uint32_t end) {
    if (base_[at + 1] == '\\') {
        return 2;
    }
    if (base_[at + 1] != 'u') {
        return fail("bad escape", at);
    }
    int32_t unit = code_unit(at, end);
    if (unit < 0) {
        return fail("bad \\u escape", at);
    }
    if (unit < 0xd800 || unit > 0xdfff || allows_lone_surrogates_) {
        return 6;
    }
    int32_t low = unit < 0xdc00 ? code_unit(at + 6, end) : -1;
    if (low < 0xdc00 || low > 0xdfff) {
        return fail("unpaired surrogate", at);
    }
    return 12;
}

inline bool EscapeCheck::check(uint32_t begin, uint32_t end) {
    uint32_t behind = begin;  // the latest escape: a backslash before that is part of it
    while (next_ < end) {
        uint32_t from = block_;
        uint64_t found = backslashes_;
        for (;;) {
            uint64_t in_string = found & places_before(end - from);
            found ^= in_string;
            in_string &= ~places_before(behind > from ? behind - from : 0);
            for (const char *block = base_ + from; in_string != 0;) {
                uint32_t place = first_of(in_string);
                in_string &= in_string - 1;
                if (!kIsLetter[static_cast<unsigned char>(block[place + 1])]) {
                    uint32_t size = escape_size(from + place, end);
                    if (size == 0) {
                        return false;
                    }
                    behind = from + place + size;
                    in_string &= ~places_before(place + size);
                }
            }
            // On to the next block, as long as all of it is in the string.
            if (end - from <= 2 * kBlock) {
                break;
            }
            from += kBlock;
            found = backslashes_of(base_ + from);
            if (found == 0) {
                break;
            }
        }
        if (found != 0) {
            block_ = from;
            backslashes_ = found;
            next_ = from + first_of(found);
        } else {
            find(from + kBlock);
        }
    }
    return true;
}

}  // namespace llm::json
