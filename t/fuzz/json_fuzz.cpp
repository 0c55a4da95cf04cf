// Fuzz target of the JSON reader: a document that is accepted has children whose raw slices are
// documents themselves, text that survives unescaping and escaping, and a copy made by the writer
// that is accepted too. One that is refused is refused without reading past its end (the input is
// copied to its exact size, so that a sanitizer sees it). And a list of texts that is made from the
// input is accepted when a plain reading of its escapes, byte for byte, finds nothing wrong.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "t/fuzz/require.hpp"
#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace {

using llm::json::Value;

using llm::fuzz::require;

class Checker {
  public:
    explicit Checker(const llm::json::Limits &limits) : limits_(limits), writer_(copy_) {}

    void check(Value value, int depth) {
        // The writer has 64 levels; what lies deeper travels raw.
        bool is_raw = depth > 60 || !(value.is_object() || value.is_array() || value.is_string());
        if (budget_ > 0) {
            --budget_;
            llm::json::Reader reader;
            auto again = reader.parse_unpadded(value.raw().bytes, limits_);
            require(static_cast<bool>(again));
            require(again->kind() == value.kind() && again->size() == value.size());
            require(again->raw().bytes == value.raw().bytes);
        }
        if (is_raw) {
            require(!value.raw().empty());
            writer_.raw(value.raw());
            value.as_int();
            value.as_double();
        } else if (value.is_string()) {
            check_text(value.text());
            writer_.text(value.text());
        } else if (value.is_array()) {
            writer_.array();
            uint32_t count = 0;
            for (Value item : value.items()) {
                check(item, depth + 1);
                ++count;
            }
            require(count == value.size());
            writer_.end();
        } else {
            writer_.object();
            uint32_t count = 0;
            for (auto [key, member] : value.members()) {
                check_text(key);
                writer_.key(key);
                check(member, depth + 1);
                ++count;
            }
            require(count == value.size());
            llm::json::duplicate_key(value);
            writer_.end();
        }
    }

    std::string_view copy() const { return copy_.view(); }

  private:
    void check_text(llm::JsonText text) {
        llm::Arena arena;
        std::string_view plain = llm::json::unescape(text, arena);
        require(llm::json::equals(text, plain));
        llm::JsonText escaped = llm::json::escape(plain, arena);
        require(llm::json::unescape(escaped, arena) == plain);
        llm::json::is_blank(text);
    }

    llm::json::Limits limits_;
    llm::ByteBuffer copy_;
    llm::json::Writer writer_;
    int budget_ = 200;
};

// -1: there is none.
int unit_at(std::string_view text, size_t at) {
    if (text.size() < at + 6 || text[at] != '\\' || text[at + 1] != 'u') {
        return -1;
    }
    std::string digits(text.substr(at + 2, 4));
    bool is_hex = digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    return is_hex ? int(strtol(digits.c_str(), nullptr, 16)) : -1;
}

bool is_high(int unit) {
    return unit >= 0xd800 && unit < 0xdc00;
}
bool is_low(int unit) {
    return unit >= 0xdc00 && unit < 0xe000;
}

bool has_good_escapes(std::string_view text, bool allows_lone_surrogates) {
    for (size_t at = 0; at < text.size();) {
        if (text[at] != '\\') {
            at += 1;
        } else if (int unit = unit_at(text, at); unit >= 0) {
            bool is_pair = is_high(unit) && is_low(unit_at(text, at + 6));
            if ((is_high(unit) || is_low(unit)) && !is_pair && !allows_lone_surrogates) {
                return false;
            }
            at += is_pair ? 12 : 6;
        } else if (std::string_view("\"\\/bfnrt").find(text[at + 1]) != std::string_view::npos) {
            at += 2;
        } else {
            return false;
        }
    }
    return true;
}

// Texts whose escapes are where the input has control characters, with long stretches between
// them where it has bytes that are not ASCII: a block of the check ends anywhere.
void check_escapes(std::string_view input, const llm::json::Limits &limits) {
    std::string document = "[\"", text;
    bool is_good = true, is_escaped = false;
    auto end_text = [&] {
        if (is_escaped) {
            text += 'n';
        }
        is_good = is_good && has_good_escapes(text, limits.allow_lone_surrogates);
        document += text;
        text.clear();
        is_escaped = false;
    };
    for (unsigned char byte : input.substr(0, 4096)) {
        char c = byte < 0x20 ? '\\' : char(byte);
        if (byte >= 0x80) {
            text.append(byte - 0x7f, 'x');
            is_escaped = false;
        } else if (c == '"' && !is_escaped) {
            end_text();
            document += "\",\"";
        } else {
            text += c;
            is_escaped = c == '\\' && !is_escaped;
        }
    }
    end_text();
    document += "\"]";
    llm::json::Reader reader;
    require(static_cast<bool>(reader.parse_unpadded(document, limits)) == is_good);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    llm::json::Limits limits;
    limits.allow_lone_surrogates = (data[0] & 1) != 0;
    ++data;
    --size;
    std::unique_ptr<char[]> exact(new char[size + 1]);
    memcpy(exact.get(), data, size);
    std::string_view bytes(exact.get(), size);

    check_escapes(bytes, limits);
    llm::json::Reader reader;
    auto root = reader.parse(bytes, limits);
    llm::json::Reader other;
    require(static_cast<bool>(root) == static_cast<bool>(other.parse_unpadded(bytes, limits)));
    if (!root) {
        require(root.error().offset <= size);
        return 0;
    }
    Checker checker(limits);
    checker.check(*root, 0);
    auto copy = other.parse_unpadded(checker.copy(), limits);
    require(static_cast<bool>(copy));
    require(copy->kind() == root->kind() && copy->size() == root->size());
    return 0;
}
