// Fuzz target of the JSON reader: a document that is accepted has children whose raw slices are
// documents themselves, text that survives unescaping and escaping, and a copy made by the writer
// that is accepted too. One that is refused is refused without reading past its end (the input is
// copied to its exact size, so that a sanitizer sees it).
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
