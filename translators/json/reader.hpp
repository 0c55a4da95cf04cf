// Parses one JSON document into a flat index of nodes over the caller's own bytes, and validates
// it completely: syntax, UTF-8, escapes, unpaired surrogates, numbers, depth, nothing behind the
// document. reader.cpp is the only file of the project that includes simdjson.
//
//   json::Reader reader;                               // keep it: its buffers are used again
//   auto root = reader.parse(bytes, limits);           // bytes readable kPadding past their end
//   for (auto [key, value] : root->members()) ...
//   root->find("model").text()
//
// A Value is a small handle, valid until the reader parses again and while the bytes live. A
// missing member is an `absent` Value, on which every accessor is harmless.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "translators/json/text.hpp"

namespace llm::json {

constexpr size_t kPadding = 64;

enum class Kind : uint8_t { absent, null, boolean, number, string, array, object };

struct Limits {
    uint32_t max_depth = 512;
    uint32_t max_nodes = 8u << 20;  // values and member names; each costs 20 bytes
    // Unpaired surrogates: refused in requests; passed on in answers, where an escape pair may
    // be cut in half between two events.
    bool allow_lone_surrogates = false;
    // The caller has looked already (cheap while it copied the bytes): saves a pass over them.
    bool has_no_backslash = false;
};

// One value, or one member name, of the document. Children follow their parent at once; the node
// behind the whole value is `next` nodes further. Members are (name, value) pairs of nodes.
struct Node {
    uint32_t begin;  // first byte of the raw value (a string's opening quote)
    uint32_t end;    // one past its last byte
    uint32_t next;
    uint32_t count;  // elements of an array, members of an object
    Kind kind;
    uint32_t names : 24;  // of an object: a bit for each member's name (name_bit), so that most
                          // searches for what is not there end before they begin
};
static_assert(sizeof(Node) == 20);

constexpr uint32_t name_bit(std::string_view name) {
    if (name.empty()) {
        return 1;
    }
    auto first = static_cast<unsigned char>(name.front());
    auto last = static_cast<unsigned char>(name.back());
    return 1u << (((first * 3 + name.size()) & 15) + (last & 7));
}

class Items;
class Members;

class Value {
  public:
    Value() = default;

    Kind kind() const { return node_ == nullptr ? Kind::absent : node_->kind; }
    bool absent() const { return kind() == Kind::absent; }
    bool is_null() const { return kind() == Kind::null; }
    bool is_unset() const { return kind() <= Kind::null; }  // absent or null
    bool is_string() const { return kind() == Kind::string; }
    bool is_number() const { return kind() == Kind::number; }
    bool is_bool() const { return kind() == Kind::boolean; }
    bool is_array() const { return kind() == Kind::array; }
    bool is_object() const { return kind() == Kind::object; }

    // The bytes as they were written; empty when absent.
    RawJson raw() const;
    // The inside of a string, escaped; empty for everything else.
    JsonText text() const;
    bool equals(std::string_view plain) const { return is_string() && json::equals(text(), plain); }
    bool is_true() const;
    std::optional<bool> as_bool() const;
    std::optional<int64_t> as_int() const;  // whole numbers only; "1e3" and "3.0" count
    std::optional<double> as_double() const;

    // An object of a few members that are all named differently, told at a glance; false: look.
    bool has_few_names() const;
    uint32_t size() const { return node_ == nullptr ? 0 : node_->count; }  // elements or members
    uint32_t offset() const;                                               // in the document
    // The last member of that name.
    Value find(std::string_view key) const {
        return is_object() && (node_->names & name_bit(key)) != 0 ? look_up(key) : Value();
    }
    Value operator[](std::string_view key) const { return find(key); }
    Items items() const;      // empty for everything but an array
    Members members() const;  // empty for everything but an object

  private:
    friend class Reader;
    friend class Items;
    friend class Members;
    Value(const Node *node, const char *base) : node_(node), base_(base) {}
    Value look_up(std::string_view key) const;

    const Node *node_ = nullptr;
    const char *base_ = nullptr;
};

class Items {
  public:
    class Iterator {
      public:
        Value operator*() const { return Value(at_, base_); }
        Iterator &operator++() {
            at_ += at_->next;
            return *this;
        }
        bool operator!=(const Iterator &other) const { return at_ != other.at_; }

      private:
        friend class Items;
        const Node *at_;
        const char *base_;
    };
    Iterator begin() const;
    Iterator end() const;

  private:
    friend class Value;
    Value of_;
};

struct Member {
    JsonText key;
    Value value;
};

class Members {
  public:
    class Iterator {
      public:
        Member operator*() const;
        Iterator &operator++();
        bool operator!=(const Iterator &other) const { return at_ != other.at_; }

      private:
        friend class Members;
        const Node *at_;
        const char *base_;
    };
    Iterator begin() const;
    Iterator end() const;

  private:
    friend class Value;
    Value of_;
};

class Reader {
  public:
    Reader();
    ~Reader();
    Reader(const Reader &) = delete;
    Reader &operator=(const Reader &) = delete;

    // `bytes` must be readable (not: zero) for kPadding bytes past the end. Errc::invalid_json
    // with an offset where one is known. At most 4 GiB - 1.
    Result<Value> parse(std::string_view bytes, const Limits &limits = {});

    // The same for bytes without padding: they are copied into a buffer of the reader first.
    Result<Value> parse_unpadded(std::string_view bytes, const Limits &limits = {});

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
    std::vector<Node> nodes_;
};

// The name of a member that stands twice in this object, or an empty view.
std::string_view duplicate_key(Value object);

}  // namespace llm::json
