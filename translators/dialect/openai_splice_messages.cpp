// Pass-through: what the messages of a history must lose or get for a service that takes less, or
// wants more, than the client sends (ModelTraits); and the edits themselves, see openai_edits.hpp.
#include <algorithm>

#include "translators/dialect/openai_edits.hpp"

namespace llm::openai {

namespace {

using json::Value;

// Members of history that only their own provider understands. Strict services refuse them.
constexpr std::string_view kReasoningMembers[] = {
    "reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "extra_content",
};

// Where the name of a member begins, with its quote.
uint32_t offset_of_name(const json::Member &member) {
    const char *start = member.value.raw().bytes.data() - member.value.offset();
    return static_cast<uint32_t>(member.key.bytes.data() - start) - 1;
}

uint32_t end_of(Value value) {
    return static_cast<uint32_t>(value.offset() + value.raw().bytes.size());
}

class MessageSplice {
  public:
    MessageSplice(const ModelTraits &traits, Edits &edits) : traits_(traits), edits_(edits) {}

    void message(Value message, bool is_last) {
        Value role = message["role"];
        bool is_assistant = role.equals("assistant");
        if (role.equals("developer") && !traits_.developer_role && !traits_.service_tier) {
            edits_.replace(role, "\"system\"");
        }
        if (traits_.strict_members) {
            strip(message);
        }
        if (is_assistant && traits_.wants_reasoning_content && !traits_.mistral) {
            want_reasoning(message);
        }
        if (traits_.mistral) {
            call_ids(message);
            if (is_last && is_assistant && message["tool_calls"].size() == 0) {
                want_prefix(message);
            }
        }
        if (traits_.string_content) {
            join(message["content"]);
        }
    }

  private:
    void strip(Value message) {
        size_t count = 0;
        std::string_view names[std::size(kReasoningMembers)];
        for (std::string_view name : kReasoningMembers) {
            bool is_wanted = traits_.wants_reasoning_content && name == "reasoning_content";
            if (!is_wanted && !message[name].absent()) {
                names[count++] = name;
            }
        }
        edits_.remove(message, std::span(names, count));
        for (Value call : message["tool_calls"].items()) {
            edits_.remove(call, {"extra_content"});
        }
    }

    // Its presence is checked on turns with calls.
    void want_reasoning(Value message) {
        Value reasoning = message["reasoning_content"];
        if (message["tool_calls"].size() == 0 || !reasoning.text().empty()) {
            return;
        }
        if (reasoning.absent()) {
            edits_.insert(message, "\"reasoning_content\":\" \"");
        } else {
            edits_.replace(reasoning, "\" \"");
        }
    }

    void want_prefix(Value message) {
        if (Value prefix = message["prefix"]; prefix.absent()) {
            edits_.insert(message, "\"prefix\":true");
        } else {
            edits_.replace(prefix, "true");
        }
    }

    void call_ids(Value message) {
        call_id(message["tool_call_id"]);
        for (Value call : message["tool_calls"].items()) {
            call_id(call["id"]);
        }
    }

    void call_id(Value id) {
        if (!id.is_string()) {
            return;
        }
        arena_.reset();
        JsonText mapped = call_id_for_mistral(id.text(), arena_);
        if (mapped.bytes != id.text().bytes) {
            edits_.replace(id, '"' + std::string(mapped.bytes) + '"');
        }
    }

    // A list of texts as one; what is more than text stays for the service to refuse.
    void join(Value content) {
        if (!content.is_array()) {
            return;
        }
        std::string joined = "\"";
        for (Value part : content.items()) {
            if (!part["text"].is_string()) {
                return;
            }
            joined.append(joined.size() > 1 ? "\\n\\n" : "").append(part["text"].text().bytes);
        }
        edits_.replace(content, joined + '"');
    }

    const ModelTraits &traits_;
    Edits &edits_;
    Arena arena_;
};

}  // namespace

void splice_messages(Value messages, const ModelTraits &traits, Edits &edits) {
    MessageSplice splice(traits, edits);
    uint32_t left = messages.size();
    for (Value message : messages.items()) {
        splice.message(message, --left == 0);
    }
}

void Edits::replace(Value value, std::string text) {
    edits_.push_back({value.offset(), end_of(value), std::move(text)});
}

void Edits::insert(Value object, std::string text) {
    if (object.size() > 0) {
        text += ',';
    }
    edits_.push_back({object.offset() + 1, object.offset() + 1, std::move(text)});
}

void Edits::rename(Value object, std::string_view name, std::string_view other) {
    for (json::Member member : object.members()) {
        if (json::equals(member.key, name)) {
            uint32_t begin = offset_of_name(member) + 1;
            uint32_t size = static_cast<uint32_t>(member.key.bytes.size());
            edits_.push_back({begin, begin + size, std::string(other)});
        }
    }
}

// A member goes with the comma before it; those at the start go with the one behind them.
void Edits::remove(Value object, std::span<const std::string_view> names) {
    if (names.empty()) {
        return;
    }
    bool has_kept = false;
    uint32_t first = 0;  // of the members at the start that go; 0: none
    uint32_t last = 0;   // the end of the member before
    for (json::Member member : object.members()) {
        bool goes = std::any_of(names.begin(), names.end(), [&](std::string_view name) {
            return json::equals(member.key, name);
        });
        uint32_t begin = offset_of_name(member);
        if (goes && has_kept) {
            edits_.push_back({last, end_of(member.value), {}});
        } else if (goes && first == 0) {
            first = begin;
        } else if (!goes) {
            if (first > 0) {
                edits_.push_back({first, begin, {}});
            }
            first = 0;
            has_kept = true;
        }
        last = end_of(member.value);
    }
    if (first > 0) {
        edits_.push_back({first, last, {}});
    }
}

}  // namespace llm::openai
