// Rewrites a JSON Schema for Gemini. rewrite_schema() walks schemas, never plain objects: a
// property called "not" is a property, not a keyword. What belongs to one schema is collected
// first: the target of its $ref, the branches of allOf, the only branch of anyOf that is not null,
// then its own members, which win. Values are copied as they were written.
//
// Bounded: 10,000 schemas, a million members of them, 28 levels (the writer nests 64 containers),
// and the size of what comes out, since a reference may repeat a large text often. What is beyond
// is {"type":"object"}, as is a reference into a schema that is being written.
#include "translators/dialect/gemini_schema.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "translators/json/writer.hpp"

namespace llm::gemini {

namespace {

using json::Value;

constexpr int kMaxLevel = 28;
constexpr uint32_t kMaxSchemas = 10000;
constexpr uint64_t kMaxMembers = 1u << 20;
constexpr size_t kMinOutput = 1u << 20;

constexpr std::array<std::string_view, 7> kTypes = {
    "string", "number", "integer", "boolean", "array", "object", "null",
};

// The name of a type in lower case, as a static text; empty when it is none.
std::string_view type_name(Value type) {
    std::string_view text = type.text().bytes;
    for (std::string_view known : kTypes) {
        bool is_same = std::equal(text.begin(), text.end(), known.begin(), known.end(),
                                  [](char a, char b) { return (a | 0x20) == b; });
        if (is_same) {
            return known;
        }
    }
    return {};
}

std::string_view type_of_value(Value value) {
    switch (value.kind()) {
        case json::Kind::boolean:
            return "boolean";
        case json::Kind::number:
            return value.as_int() ? "integer" : "number";
        case json::Kind::array:
            return "array";
        case json::Kind::object:
            return "object";
        case json::Kind::string:
            return "string";
        case json::Kind::absent:
        case json::Kind::null:
            return "null";
    }
    return {};
}

bool is_null_schema(Value schema) {
    Value type = schema.find("type");
    Value values = schema.find("enum");
    return type_name(type) == "null" || schema.find("const").is_null() ||
           (values.size() == 1 && (*values.items().begin()).is_null());
}

struct Types {
    std::vector<std::string_view> names;  // without null
    bool is_nullable = false;
};

class Rewriter {
  public:
    Rewriter(Value root, Arena &arena, ByteBuffer &out, size_t input_size)
        : root_(root),
          arena_(arena),
          out_(out),
          writer_(out),
          max_output_(std::max(kMinOutput, 8 * input_size)) {}

    // False: a root without properties, nothing was written.
    bool root(bool is_parameters, JsonText description) {
        Sources sources = collect(root_);
        if (is_parameters) {
            // Branches at the root cannot be said where the root must be an object.
            for (std::string_view name : {"anyOf", "oneOf"}) {
                for (Value branch : sources.find(name).items()) {
                    add(branch, sources.extra, sources.refs);
                }
            }
            if (sources.is_cut || !sources.has_properties()) {
                return false;
            }
        }
        write(sources, is_parameters ? "object" : std::string_view(), 0, description);
        leave(sources);
        return true;
    }

  private:
    struct Sources {
        std::vector<Value> all;    // later ones win
        std::vector<Value> extra;  // give properties only
        std::vector<const char *> refs;
        bool is_cut = false;
        bool is_nullable = false;

        Value find(std::string_view key) const {
            for (size_t i = all.size(); i-- > 0;) {
                if (Value value = all[i].find(key); !value.is_unset()) {
                    return value;
                }
            }
            return {};
        }

        bool has_properties() const {
            for (const std::vector<Value> *list : {&all, &extra}) {
                for (Value source : *list) {
                    if (source.find("properties").size() > 0) {
                        return true;
                    }
                }
            }
            return false;
        }
    };

    bool is_spent() {
        return ++schemas_ > kMaxSchemas || members_ > kMaxMembers || out_.size() > max_output_;
    }

    // --- collecting -------------------------------------------------------------------------

    Value resolve(JsonText reference) {
        std::string_view path = json::unescape(reference, arena_);
        if (path.empty() || path.front() != '#') {
            return {};
        }
        path.remove_prefix(1);
        Value at = root_;
        while (!path.empty()) {
            if (path.front() != '/') {
                return {};
            }
            size_t end = std::min(path.find('/', 1), path.size());
            std::string name;
            for (size_t i = 1; i < end; ++i) {
                bool is_tilde = path[i] == '~' && i + 1 < end;
                if (is_tilde && (path[i + 1] == '0' || path[i + 1] == '1')) {
                    name += path[++i] == '0' ? '~' : '/';
                } else {
                    name += path[i];
                }
            }
            if (at.is_array()) {
                size_t index = 0;
                auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), index);
                if (error != std::errc() || index >= at.size()) {
                    return {};
                }
                auto item = at.items().begin();
                while (index-- > 0) {
                    ++item;
                }
                at = *item;
            } else {
                at = at.find(name);
            }
            path.remove_prefix(end);
        }
        return at;
    }

    // False: the schema leads back to one that is being written, or cannot be found.
    bool add(Value schema, std::vector<Value> &into, std::vector<const char *> &refs) {
        if (!schema.is_object()) {
            return true;
        }
        if (is_spent() || into.size() > kMaxSchemas || depth_ > 100) {
            return false;
        }
        ++depth_;
        members_ += schema.size() + schema.find("required").size() + schema.find("enum").size();
        bool is_whole = true;
        if (Value reference = schema.find("$ref"); reference.is_string()) {
            Value target = resolve(reference.text());
            const char *key = target.raw().bytes.data();
            bool is_active = std::find(active_.begin(), active_.end(), key) != active_.end();
            is_whole = target.is_object() && !is_active;
            if (is_whole) {
                active_.push_back(key);
                refs.push_back(key);
                is_whole = add(target, into, refs);
            }
        }
        for (Value branch : schema.find("allOf").items()) {
            is_whole = is_whole && add(branch, into, refs);
        }
        into.push_back(schema);
        --depth_;
        return is_whole;
    }

    Sources collect(Value schema) {
        Sources sources;
        sources.is_cut = !add(schema, sources.all, sources.refs);
        // The only branch that is not null is as good as the schema itself.
        for (int round = 0; round < 8 && !sources.is_cut; ++round) {
            Value branches = sources.find("anyOf");
            if (!branches.is_array()) {
                branches = sources.find("oneOf");
            }
            Value only;
            uint32_t count = 0;
            for (Value branch : branches.items()) {
                if (is_null_schema(branch)) {
                    sources.is_nullable = true;
                } else {
                    only = branch;
                    ++count;
                }
            }
            if (count != 1 || !only.is_object()) {
                break;
            }
            std::vector<Value> merged;
            sources.is_cut = !add(only, merged, sources.refs);
            bool has_more = only.find("anyOf").is_array() || only.find("oneOf").is_array();
            sources.all.insert(sources.all.begin(), merged.begin(), merged.end());
            merged_.push_back(branches.raw().bytes.data());
            if (!has_more) {
                break;
            }
        }
        return sources;
    }

    void leave(const Sources &sources) { active_.resize(active_.size() - sources.refs.size()); }

    bool is_merged(Value branches) const {
        const char *key = branches.raw().bytes.data();
        return std::find(merged_.begin(), merged_.end(), key) != merged_.end();
    }

    // --- writing ----------------------------------------------------------------------------

    void schema(Value schema, int level) {
        if (!schema.is_object() || schema.size() == 0) {
            writer_.object().key("type").plain("string").end();
            return;
        }
        if (level > kMaxLevel || is_spent()) {
            writer_.object().key("type").plain("object").end();
            return;
        }
        size_t merged = merged_.size();
        Sources sources = collect(schema);
        if (sources.is_cut) {
            writer_.object().key("type").plain("object").end();
        } else {
            write(sources, {}, level, {});
        }
        leave(sources);
        merged_.resize(merged);
    }

    Types types_of(const Sources &sources) {
        Types types;
        Value type = sources.find("type");
        auto add_name = [&](std::string_view name) {
            if (name == "null") {
                types.is_nullable = true;
            } else if (!name.empty() && std::find(types.names.begin(), types.names.end(), name) ==
                                            types.names.end()) {
                types.names.push_back(name);
            }
        };
        if (type.is_string()) {
            add_name(type_name(type));
        }
        for (Value item : type.items()) {
            add_name(type_name(item));
        }
        if (!types.names.empty()) {
            return types;
        }
        for (Value source : sources.all) {
            if (Value constant = source.find("const"); !constant.absent()) {
                add_name(type_of_value(constant));
                return types;
            }
        }
        for (Value value : sources.find("enum").items()) {
            add_name(type_of_value(value));
            if (types.names.size() == 1) {
                return types;
            }
        }
        if (sources.has_properties()) {
            add_name("object");
        } else if (!sources.find("items").absent()) {
            add_name("array");
        }
        return types;
    }

    void write(const Sources &sources, std::string_view forced, int level, JsonText description) {
        Types types = types_of(sources);
        if (!forced.empty()) {
            types.names = {forced};
        }
        Value branches = sources.find("anyOf");
        branches = branches.is_array() ? branches : sources.find("oneOf");
        // Beside a type of its own the API takes no branches.
        bool has_branches = types.names.empty() && branches.size() > 0 && !is_merged(branches);
        if (!has_branches && branches.size() > 0 && types.names.size() == 1 &&
            types.names[0] == "object" && forced.empty() && !sources.has_properties() &&
            !is_merged(branches)) {
            has_branches = true;
        }
        bool is_nullable =
            types.is_nullable || sources.is_nullable || sources.find("nullable").is_true();
        writer_.object();
        if (has_branches) {
            writer_.key("anyOf").array();
            for (Value branch : branches.items()) {
                if (!is_null_schema(branch)) {
                    schema(branch, level + 2);
                }
            }
            writer_.end();
        } else if (types.names.size() > 1) {
            writer_.key("anyOf").array();
            for (std::string_view name : types.names) {
                writer_.object();
                typed(sources, name, level + 2, is_nullable);
                writer_.end();
            }
            writer_.end();
        } else {
            typed(sources, types.names.empty() ? "string" : types.names[0], level, is_nullable);
        }
        if (is_nullable) {
            writer_.key("nullable").boolean(true);
        }
        if (Value title = sources.find("title"); title.is_string()) {
            writer_.key("title").text(title.text());
        }
        Value own = sources.find("description");
        if (own.is_string()) {
            writer_.key("description").text(own.text());
        } else if (!description.empty()) {
            writer_.key("description").text(description);
        }
        if (Value value = sources.find("default"); !value.absent() && !has_branches) {
            writer_.key("default").raw(value.raw());
        }
        writer_.end();
    }

    // The type and what only this type has.
    void typed(const Sources &sources, std::string_view type, int level, bool &is_nullable) {
        writer_.key("type").plain(type);
        if (type == "object") {
            object(sources, level);
        } else if (type == "array") {
            writer_.key("items");
            schema(sources.find("items"), level + 1);
            copy(sources, {"minItems", "maxItems"});
        } else if (type == "string") {
            string(sources, is_nullable);
        } else if (type == "integer" || type == "number") {
            number(sources, type == "integer");
        }
    }

    void copy(const Sources &sources, std::initializer_list<std::string_view> names) {
        for (std::string_view name : names) {
            if (Value value = sources.find(name); value.is_number()) {
                writer_.key(name).raw(value.raw());
            }
        }
    }

    void object(const Sources &sources, int level) {
        // Each name once, where it was first; the last schema given wins.
        std::vector<json::Member> members;
        std::unordered_map<std::string_view, size_t> places;
        for (const std::vector<Value> *list : {&sources.all, &sources.extra}) {
            for (Value source : *list) {
                for (auto [key, value] : source.find("properties").members()) {
                    std::string_view name = json::unescape(key, arena_);
                    auto [place, is_new] = places.emplace(name, members.size());
                    if (is_new) {
                        members.push_back({key, value});
                    } else {
                        members[place->second].value = value;
                    }
                }
            }
        }
        if (!members.empty()) {
            writer_.key("properties").object();
            for (const json::Member &member : members) {
                writer_.key(member.key);
                schema(member.value, level + 2);
            }
            writer_.end();
        }
        std::unordered_set<std::string_view> required;
        for (Value source : sources.all) {
            for (Value item : source.find("required").items()) {
                std::string_view name = json::unescape(item.text(), arena_);
                if (!item.is_string() || places.count(name) == 0 || !required.insert(name).second) {
                    continue;
                }
                if (required.size() == 1) {
                    writer_.key("required").array();
                }
                writer_.text(item.text());
            }
        }
        if (!required.empty()) {
            writer_.end();
        }
        copy(sources, {"minProperties", "maxProperties"});
        if (Value order = sources.find("propertyOrdering"); order.is_array()) {
            writer_.key("propertyOrdering").raw(order.raw());
        }
    }

    void string(const Sources &sources, bool &is_nullable) {
        if (Value constant = sources.find("const"); constant.is_string()) {
            if (!constant.text().empty()) {
                writer_.key("enum").array().text(constant.text()).end();
            }
        } else if (Value values = sources.find("enum"); values.is_array()) {
            bool has_text = false;
            bool is_mixed = false;
            for (Value value : values.items()) {
                is_nullable = is_nullable || value.is_null();
                is_mixed = is_mixed || (!value.is_string() && !value.is_null());
                has_text = has_text || !value.text().empty();
            }
            if (has_text && !is_mixed) {
                writer_.key("enum").array();
                for (Value value : values.items()) {
                    if (!value.text().empty()) {  // an empty one is refused
                        writer_.text(value.text());
                    }
                }
                writer_.end();
            }
        }
        Value format = sources.find("format");
        if (format.equals("enum") || format.equals("date-time")) {
            writer_.key("format").text(format.text());
        }
        copy(sources, {"minLength", "maxLength"});
        if (Value pattern = sources.find("pattern"); pattern.is_string()) {
            writer_.key("pattern").text(pattern.text());
        }
    }

    void number(const Sources &sources, bool is_integer) {
        Value format = sources.find("format");
        for (std::string_view known : {"int32", "int64", "float", "double"}) {
            if (format.equals(known)) {
                writer_.key("format").plain(known);
            }
        }
        bound(sources, is_integer, "minimum", "exclusiveMinimum", 1);
        bound(sources, is_integer, "maximum", "exclusiveMaximum", -1);
    }

    // A bound that excludes its number is the next whole number; others cannot be said.
    void bound(const Sources &sources, bool is_integer, std::string_view name,
               std::string_view exclusive, int64_t step) {
        Value bound = sources.find(name);
        Value limit = sources.find(exclusive);
        if (is_integer && limit.is_true()) {
            limit = bound;  // as older drafts say it
        }
        std::optional<int64_t> whole = limit.as_int();
        bool is_safe = whole && *whole > -(int64_t{1} << 53) && *whole < int64_t{1} << 53;
        if (is_integer && is_safe) {
            std::optional<int64_t> plain = bound.as_int();
            int64_t next = *whole + step;
            bool is_tighter = plain && (step > 0 ? *plain > next : *plain < next);
            writer_.key(name).number(is_tighter ? *plain : next);
        } else if (bound.is_number()) {
            writer_.key(name).raw(bound.raw());
        }
    }

    Value root_;
    Arena &arena_;
    ByteBuffer &out_;
    json::Writer writer_;
    size_t max_output_;
    uint32_t schemas_ = 0;
    uint64_t members_ = 0;
    int depth_ = 0;
    std::vector<const char *> active_;  // targets of the references that are being written
    std::vector<const char *> merged_;  // lists of branches of which one was taken
};

}  // namespace

RawJson rewrite_schema(Value schema, bool is_parameters, JsonText description, Arena &arena) {
    ByteBuffer out;
    Rewriter rewriter(schema, arena, out, schema.raw().bytes.size());
    if (!schema.is_object() || !rewriter.root(is_parameters, description)) {
        return {};
    }
    return {arena.copy(out.view())};
}

}  // namespace llm::gemini
