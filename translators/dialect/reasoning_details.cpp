// See reasoning_details.hpp.
#include "translators/dialect/reasoning_details.hpp"

#include <algorithm>

namespace llm::openai {

namespace {

using json::Value;

constexpr size_t kMaxMark = 4u << 20;  // hidden thoughts are large

bool is_text(JsonText name) {
    return json::equals(name, "text") || json::equals(name, "summary");
}

// Services fill up the fragments of a detail with members that they know nothing of yet.
bool says_nothing(std::string_view raw) {
    return raw == "null" || raw == "\"\"";
}

// The whole mark of a block; nothing where another provider made it, or none.
JsonText mark_of(const ir::Reasoning &reasoning) {
    if (reasoning.origin != DialectId::openai) {
        return {};
    }
    return reasoning.is_redacted ? reasoning.redacted : reasoning.signature;
}

// The text stands where it stood: behind the type. False: this is no mark.
bool write_detail(const ir::Reasoning &reasoning, json::Reader &reader, Arena &arena,
                  json::Writer &writer) {
    Result<Value> mark = reader.parse_unpadded(json::unescape(mark_of(reasoning), arena));
    if (!mark || !mark->is_object() || mark->size() == 0) {
        return false;
    }
    bool is_summary = (*mark)["type"].equals("reasoning.summary");
    writer.object();
    if (Value type = (*mark)["type"]; !type.absent()) {
        writer.key("type").raw(type.raw());
    }
    if (!reasoning.is_redacted && !reasoning.text.empty()) {
        writer.key(is_summary ? "summary" : "text").text(reasoning.text);
    }
    for (auto [name, value] : mark->members()) {
        if (!json::equals(name, "type") && !is_text(name)) {
            writer.key(name).raw(value.raw());
        }
    }
    writer.end();
    return true;
}

}  // namespace

JsonText detail_text(Value detail) {
    return detail["text"].is_string() ? detail["text"].text() : detail["summary"].text();
}

bool is_hidden_detail(Value detail) {
    return detail["data"].is_string() && detail_text(detail).empty();
}

bool has_detail_text(Value details) {
    for (Value detail : details.items()) {
        if (!detail_text(detail).empty()) {
            return true;
        }
    }
    return false;
}

const DetailMark::Member *DetailMark::find(std::string_view name) const {
    auto member = std::find_if(members_.begin(), members_.end(),
                               [&](const Member &known) { return known.name == name; });
    return member == members_.end() ? nullptr : &*member;
}

bool DetailMark::is_other(Value fragment) const {
    for (std::string_view name : {"type", "index", "id"}) {
        const Member *known = find(name);
        Value now = fragment[name];
        if (known != nullptr && !now.absent() && !says_nothing(known->value) &&
            !says_nothing(now.raw().bytes) && now.raw().bytes != known->value) {
            return true;
        }
    }
    // A signature holds for the text before it.
    const Member *signature = find("signature");
    return signature != nullptr && !says_nothing(signature->value) &&
           !detail_text(fragment).empty();
}

bool DetailMark::add(Value fragment) {
    size_t size = memory() + fragment.raw().bytes.size();
    if (size > kMaxMark) {
        return false;
    }
    for (auto [name, value] : fragment.members()) {
        if (is_text(name)) {
            continue;
        }
        std::string_view wanted = name.bytes;
        auto known = std::find_if(members_.begin(), members_.end(),
                                  [&](const Member &member) { return member.name == wanted; });
        if (known == members_.end()) {
            members_.push_back({std::string(name.bytes), std::string(value.raw().bytes)});
        } else if (!says_nothing(value.raw().bytes)) {
            known->value = value.raw().bytes;
        }
    }
    return true;
}

size_t DetailMark::memory() const {
    size_t sum = 0;
    for (const Member &member : members_) {
        sum += member.name.size() + member.value.size();
    }
    return sum;
}

JsonText DetailMark::text(Arena &arena) const {
    ByteBuffer object;
    json::Writer writer(object);
    writer.object();
    for (const Member &member : members_) {
        writer.key(JsonText{member.name}).raw({member.value});
    }
    writer.end();
    // escape() may give its argument back as it is.
    JsonText escaped = json::escape(object.view(), arena);
    return {arena.copy(escaped.bytes)};
}

ir::Reasoning read_detail(Value detail, Arena &arena) {
    DetailMark mark;
    ir::Reasoning reasoning;
    reasoning.origin = DialectId::openai;
    reasoning.is_redacted = is_hidden_detail(detail);
    reasoning.text = detail_text(detail);
    if (mark.add(detail) && !mark.empty()) {
        (reasoning.is_redacted ? reasoning.redacted : reasoning.signature) = mark.text(arena);
    }
    return reasoning;
}

bool write_details(const ir::Turn &turn, json::Reader &reader, Arena &arena, json::Writer &writer) {
    bool is_open = false;
    for (const ir::Part &part : turn.parts) {
        const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
        if (reasoning == nullptr || mark_of(*reasoning).empty()) {
            continue;
        }
        ByteBuffer detail;
        json::Writer one(detail);
        if (!write_detail(*reasoning, reader, arena, one)) {
            continue;
        }
        if (!is_open) {
            writer.key("reasoning_details").array();
            is_open = true;
        }
        writer.raw({detail.view()});
    }
    if (is_open) {
        writer.end();
    }
    return is_open;
}

}  // namespace llm::openai
