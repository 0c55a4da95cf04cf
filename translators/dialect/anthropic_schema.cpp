// Rewrites a JSON Schema for output_config.format and strict tools. rewrite_schema() walks schemas,
// never plain objects: a property called "not" or "minimum" is a property, not a keyword. What the
// subset lacks moves into the description as `{keyword: value, ...}` after an empty line, so that
// the model still knows. Values are copied as they were written. Levels deeper than the writer can
// nest are copied unchanged.
#include "translators/dialect/anthropic_schema.hpp"

#include <array>

#include "translators/json/writer.hpp"

namespace llm::anthropic {

namespace {

using json::Value;

// Each level of schema opens two containers (itself and `properties`); the writer has 64.
constexpr int kMaxLevel = 28;

enum class Keyword : uint8_t { keep, schema, schema_map, schema_list, drop, hint };

struct KnownKeyword {
    std::string_view name;
    Keyword kind;
};

constexpr std::array<KnownKeyword, 21> kKeywords = {{
    {"type", Keyword::keep},
    {"enum", Keyword::keep},
    {"const", Keyword::keep},
    {"default", Keyword::keep},
    {"title", Keyword::keep},
    {"required", Keyword::keep},
    {"$ref", Keyword::keep},
    {"items", Keyword::schema},
    {"properties", Keyword::schema_map},
    {"$defs", Keyword::schema_map},
    {"definitions", Keyword::schema_map},
    {"anyOf", Keyword::schema_list},
    {"allOf", Keyword::schema_list},
    {"$schema", Keyword::drop},
    {"$id", Keyword::drop},
    {"$comment", Keyword::drop},
    {"description", Keyword::drop},           // written last, with the hints
    {"additionalProperties", Keyword::drop},  // always false
    {"deprecated", Keyword::drop},
    {"readOnly", Keyword::drop},
    {"writeOnly", Keyword::drop},
}};

constexpr std::array<std::string_view, 10> kFormats = {
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid",
};

Keyword kind_of(JsonText key, Value value, bool has_any_of) {
    for (const KnownKeyword &known : kKeywords) {
        if (json::equals(key, known.name)) {
            bool is_open_map =
                known.name == "additionalProperties" && value.is_object() && value.size() > 0;
            return is_open_map ? Keyword::hint : known.kind;
        }
    }
    if (json::equals(key, "oneOf")) {
        return has_any_of ? Keyword::hint : Keyword::schema_list;
    }
    if (json::equals(key, "minItems")) {
        std::optional<int64_t> count = value.as_int();
        return count && (*count == 0 || *count == 1) ? Keyword::keep : Keyword::hint;
    }
    if (json::equals(key, "format")) {
        for (std::string_view format : kFormats) {
            if (value.equals(format)) {
                return Keyword::keep;
            }
        }
    }
    return Keyword::hint;
}

bool is_object_schema(Value schema) {
    Value type = schema.find("type");
    if (type.is_string()) {
        return type.equals("object");
    }
    for (Value item : type.items()) {
        if (item.equals("object")) {
            return true;
        }
    }
    return type.is_unset() && schema.find("properties").is_object();
}

class Rewriter {
  public:
    explicit Rewriter(json::Writer &writer) : writer_(writer) {}

    void schema(Value schema, JsonText preface, int level) {
        if (!schema.is_object() || level > kMaxLevel) {
            writer_.raw(schema.raw());
            return;
        }
        bool has_any_of = schema.find("anyOf").is_array();
        bool has_hints = false;
        writer_.object();
        for (auto [key, value] : schema.members()) {
            switch (kind_of(key, value, has_any_of)) {
                case Keyword::keep:
                    writer_.key(key).raw(value.raw());
                    break;
                case Keyword::schema:
                    writer_.key(key);
                    this->schema(value, {}, level + 1);
                    break;
                case Keyword::schema_map:
                    map(key, value, level);
                    break;
                case Keyword::schema_list:
                    list(json::equals(key, "oneOf") ? JsonText{"anyOf"} : key, value, level);
                    break;
                case Keyword::drop:
                    break;
                case Keyword::hint:
                    has_hints = true;
                    break;
            }
        }
        if (is_object_schema(schema)) {
            writer_.key("additionalProperties").boolean(false);
        }
        description(schema, preface, has_any_of, has_hints);
        writer_.end();
    }

  private:
    void map(JsonText key, Value value, int level) {
        writer_.key(key);
        if (!value.is_object()) {
            writer_.raw(value.raw());
            return;
        }
        writer_.object();
        for (auto [name, property] : value.members()) {
            writer_.key(name);
            schema(property, {}, level + 1);
        }
        writer_.end();
    }

    void list(JsonText key, Value value, int level) {
        writer_.key(key);
        if (!value.is_array()) {
            writer_.raw(value.raw());
            return;
        }
        writer_.array();
        for (Value item : value.items()) {
            schema(item, {}, level + 1);
        }
        writer_.end();
    }

    void description(Value schema, JsonText preface, bool has_any_of, bool has_hints) {
        JsonText own = schema.find("description").text();
        if (preface.empty() && own.empty() && !has_hints) {
            return;
        }
        writer_.key("description").open_text().piece(preface);
        if (!preface.empty() && !own.empty()) {
            writer_.piece_plain("\n\n");
        }
        writer_.piece(own);
        if (has_hints) {
            if (!preface.empty() || !own.empty()) {
                writer_.piece_plain("\n\n");
            }
            char separator = '{';
            for (auto [key, value] : schema.members()) {
                if (kind_of(key, value, has_any_of) != Keyword::hint) {
                    continue;
                }
                writer_.piece_plain(separator == '{' ? "{" : ", ");
                separator = ',';
                // The value's own JSON is text here and is escaped once more.
                writer_.piece(key).piece_plain(": ").piece_plain(value.raw().bytes);
            }
            writer_.piece_plain("}");
        }
        writer_.close_text();
    }

    json::Writer &writer_;
};

}  // namespace

RawJson rewrite_schema(Value schema, JsonText description, Arena &arena) {
    ByteBuffer out;
    json::Writer writer(out);
    Rewriter(writer).schema(schema, description, 0);
    return {arena.copy(out.view())};
}

}  // namespace llm::anthropic
