// Schemas of a Gemini client as JSON Schema. Google's own form is a subset of OpenAPI: type names
// in capitals, `nullable`, counts as strings (they are int64 there), an ordering of properties.
// Clients mix the two forms freely, so one walk serves both, and it rewrites only what it must:
// when nothing had to be, the client's own bytes come back.
//
// The walk follows schemas, not objects: a property that is called `type` or `nullable` is a name.
#include <string>

#include "translators/dialect/gemini_request.hpp"

namespace llm::gemini {

namespace {

using json::Value;

constexpr std::string_view kCounts[] = {"minItems",  "maxItems",      "minLength",
                                        "maxLength", "minProperties", "maxProperties"};
// Keywords whose value is a schema, a list of schemas, or named schemas.
constexpr std::string_view kSchemas[] = {
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"};
constexpr std::string_view kLists[] = {"anyOf", "oneOf", "allOf", "prefixItems", "items"};
constexpr std::string_view kNamed[] = {"properties", "$defs", "defs", "definitions",
                                       "patternProperties"};
constexpr std::string_view kTypes[] = {"STRING", "NUMBER", "INTEGER", "BOOLEAN",
                                       "ARRAY",  "OBJECT", "NULL"};

template <size_t kSize>
std::string_view find_in(const std::string_view (&names)[kSize], JsonText key) {
    for (std::string_view name : names) {
        if (is_member(key, name)) {
            return name;
        }
    }
    return {};
}

class SchemaWriter {
  public:
    bool is_changed = false;
    std::string out;

    void schema(Value value) {
        if (!value.is_object()) {
            raw(value);
            return;
        }
        bool is_nullable = value.find("nullable").is_true();
        out += '{';
        size_t start = out.size();
        for (auto [key, held] : value.members()) {
            if (key.bytes == "nullable" && (held.is_bool() || held.is_null())) {
                is_changed = true;
            } else if (is_member(key, "propertyOrdering") && held.is_array()) {
                is_changed = true;
            } else if (key.bytes == "format" && held.equals("enum")) {
                is_changed = true;
            } else {
                keyword(key, held, is_nullable, start);
            }
        }
        out += '}';
    }

  private:
    void raw(Value value) { out.append(value.raw().bytes); }

    void name(std::string_view key, size_t start) {
        if (out.size() > start) {
            out += ',';
        }
        out.append("\"").append(key).append("\":");
    }

    // The name of a known keyword in JSON Schema's spelling.
    void name(JsonText key, std::string_view known, size_t start) {
        is_changed = is_changed || key.bytes != known;
        name(known, start);
    }

    void keyword(JsonText key, Value held, bool is_nullable, size_t start) {
        if (key.bytes == "type" && (held.is_string() || held.is_array())) {
            type(held, is_nullable, start);
            return;
        }
        if (key.bytes == "enum" && held.is_array() && is_nullable) {
            name("enum", start);
            with_null(held, "null");
            return;
        }
        if (std::string_view known = find_in(kNamed, key); !known.empty() && held.is_object()) {
            name(key, known == "defs" ? std::string_view("$defs") : known, start);
            out += '{';
            size_t inner = out.size();
            for (auto [property, its_schema] : held.members()) {
                name(property.bytes, inner);
                schema(its_schema);
            }
            out += '}';
            return;
        }
        if (std::string_view known = find_in(kLists, key); !known.empty() && held.is_array()) {
            name(key, known, start);
            list(held, known == "anyOf" && is_nullable);
            return;
        }
        if (std::string_view known = find_in(kSchemas, key); !known.empty() && held.is_object()) {
            name(key, known, start);
            schema(held);
            return;
        }
        if (std::string_view known = find_in(kCounts, key); !known.empty() && held.is_string()) {
            std::string_view digits = held.text().bytes;
            if (!digits.empty() && digits.size() < 19 && (digits.size() == 1 || digits[0] != '0') &&
                digits.find_first_not_of("0123456789") == std::string_view::npos) {
                name(known, start);
                out.append(digits);
            }
            is_changed = true;
            return;
        }
        if (key.bytes == "ref" && held.is_string()) {
            name(key, "$ref", start);
            raw(held);
            return;
        }
        name(key.bytes, start);
        raw(held);
    }

    void type_name(Value value) {
        for (std::string_view known : kTypes) {
            if (!value.equals(known)) {
                continue;
            }
            is_changed = true;
            out += '"';
            for (char c : known) {
                out += static_cast<char>(c + 32);
            }
            out += '"';
            return;
        }
        raw(value);
    }

    void type(Value value, bool is_nullable, size_t start) {
        if (value.equals("TYPE_UNSPECIFIED")) {
            is_changed = true;
            return;
        }
        name("type", start);
        if (value.is_string() && !is_nullable) {
            type_name(value);
            return;
        }
        out += '[';
        bool has_null = false;
        if (value.is_string()) {
            type_name(value);
            has_null = value.equals("NULL") || value.equals("null");
        }
        bool is_first = true;
        for (Value one : value.items()) {
            out.append(is_first ? "" : ",");
            is_first = false;
            type_name(one);
            has_null = has_null || one.equals("NULL") || one.equals("null");
        }
        if (is_nullable && !has_null) {
            is_changed = true;
            out.append(value.is_array() && value.size() == 0 ? "\"null\"" : ",\"null\"");
        }
        out += ']';
    }

    void with_null(Value values, std::string_view null) {
        out += '[';
        bool is_first = true;
        bool has_null = false;
        for (Value one : values.items()) {
            out.append(is_first ? "" : ",");
            is_first = false;
            raw(one);
            has_null = has_null || one.is_null();
        }
        if (!has_null) {
            is_changed = true;
            out.append(is_first ? "" : ",").append(null);
        }
        out += ']';
    }

    void list(Value schemas, bool with_null_type) {
        out += '[';
        bool is_first = true;
        bool has_null = false;
        for (Value one : schemas.items()) {
            out.append(is_first ? "" : ",");
            is_first = false;
            schema(one);
            Value its_type = one.find("type");
            has_null = has_null || its_type.equals("null") || its_type.equals("NULL");
        }
        if (with_null_type && !has_null) {
            is_changed = true;
            out.append(is_first ? "" : ",").append("{\"type\":\"null\"}");
        }
        out += ']';
    }
};

}  // namespace

RawJson to_json_schema(Value schema, Arena &arena) {
    SchemaWriter writer;
    writer.schema(schema);
    return writer.is_changed ? RawJson{arena.copy(writer.out)} : schema.raw();
}

}  // namespace llm::gemini
