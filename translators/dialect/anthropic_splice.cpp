// Pass-through of a messages request: the client's own bytes with another model, or, on a carrier
// that has the model in its path, without one and with the members that the carrier wants instead.
// Two things more are taken out. Thinking blocks without a signature: a client has them from an
// answer of a provider that signs nothing (an earlier turn went elsewhere), and the API refuses the
// whole conversation for one of them; signed blocks stay as they are, byte for byte. And on Bedrock
// what its API refuses: members behind flags that are not sent, and what it does not know of cache
// marks.
#include <algorithm>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/anthropic_beta.hpp"
#include "translators/dialect/opaque_tag.hpp"

namespace llm::anthropic {

namespace {

using json::Value;

uint32_t end_of(Value value) {
    return value.offset() + static_cast<uint32_t>(value.raw().bytes.size());
}

void replace(Value value, std::string text, std::vector<Edit> &edits) {
    edits.push_back({value.offset(), end_of(value), std::move(text)});
}

// Thinking that the API would refuse: nobody signed it, or another maker did (opaque_tag.hpp).
bool is_foreign_thinking(Value block) {
    bool is_redacted = block.find("type").equals("redacted_thinking");
    if (!is_redacted && !block.find("type").equals("thinking")) {
        return false;
    }
    JsonText proof = block.find(is_redacted ? "data" : "signature").text();
    return (proof.empty() && !is_redacted) ||
           read_opaque(proof, DialectId::anthropic).origin != DialectId::anthropic;
}

// Copies what is sent of lists of blocks and of tools.
class Copier {
  public:
    explicit Copier(const Target &target) : target_(target) {}

    bool must_change_list(Value list) const {
        for (Value block : list.items()) {
            if (must_change(block)) {
                return true;
            }
        }
        return false;
    }

    // Never empty where the list was not.
    std::string list(Value blocks) const {
        std::string kept = "[";
        for (Value block : blocks.items()) {
            if (!must_drop(block)) {
                kept.append(kept.size() > 1 ? "," : "");
                copy(block, kept);
            }
        }
        if (kept.size() == 1) {
            kept.append(R"x({"type":"text","text":"(empty)"})x");
        }
        return kept.append("]");
    }

    bool must_change_tool(Value tool) const {
        for (auto [key, value] : tool.members()) {
            if (!is_taken(key, true) || has_foreign_mark(key, value)) {
                return true;
            }
        }
        return false;
    }

    std::string tool(Value tool) const {
        std::string copied;
        copy_members(tool, true, copied);
        return copied;
    }

  private:
    bool must_drop(Value block) const {
        bool is_thinking =
            block.find("type").equals("thinking") || block.find("type").equals("redacted_thinking");
        return (target_.without_reasoning && is_thinking) || is_foreign_thinking(block);
    }

    bool is_bedrock() const { return target_.carrier == Carrier::bedrock; }

    bool must_change(Value block) const {
        if (must_drop(block)) {
            return true;
        }
        if (!is_bedrock()) {
            return false;
        }
        for (auto [key, value] : block.members()) {
            if (!is_taken(key, false) || has_foreign_mark(key, value)) {
                return true;
            }
        }
        return is_result(block) && must_change_list(block.find("content"));
    }

    static bool is_result(Value block) { return block.find("type").equals("tool_result"); }

    bool has_foreign_mark(JsonText key, Value value) const {
        return value.is_object() && json::equals(key, "cache_control") &&
               mark_for_target(value.raw().bytes, target_) != value.raw().bytes;
    }

    bool is_taken(JsonText key, bool in_tool) const {
        if (in_tool) {
            return takes_tool_member(key.bytes, target_);
        }
        return !is_bedrock() || !json::equals(key, "caller");
    }

    void copy(Value block, std::string &out) const {
        if (must_change(block)) {
            copy_members(block, false, out);
        } else {
            out.append(block.raw().bytes);
        }
    }

    void copy_members(Value from, bool in_tool, std::string &out) const {
        size_t start = out.size();
        for (auto [key, value] : from.members()) {
            if (!is_taken(key, in_tool)) {
                continue;
            }
            out.append(out.size() > start ? "," : "{");
            out.append(1, '"').append(key.bytes).append("\":");
            if (has_foreign_mark(key, value)) {
                out.append(mark_for_target(value.raw().bytes, target_));
            } else if (!in_tool && value.is_array() && is_result(from) &&
                       json::equals(key, "content")) {
                out.append(list(value));
            } else {
                out.append(value.raw().bytes);
            }
        }
        out.append(out.size() > start ? "}" : "{}");
    }

    const Target &target_;
};

void splice_lists(Value root, const Target &target, std::vector<Edit> &edits) {
    Copier copier(target);
    for (Value message : root.find("messages").items()) {
        Value content = message.find("content");
        if (copier.must_change_list(content)) {
            replace(content, copier.list(content), edits);
        }
    }
    if (target.carrier != Carrier::bedrock) {
        return;
    }
    if (Value system = root.find("system"); copier.must_change_list(system)) {
        replace(system, copier.list(system), edits);
    }
    for (Value tool : root.find("tools").items()) {
        if (copier.must_change_tool(tool)) {
            replace(tool, copier.tool(tool), edits);
        }
    }
}

// The carrier's members go first; those of the client that they stand for, and those that the
// carrier refuses, go, each with the comma before it.
void splice_members(Value root, const Target &target, std::vector<Edit> &edits) {
    ByteBuffer ours;
    json::Writer writer(ours);
    writer.object().key("anthropic_version").plain(version_of(target.carrier));
    write_beta_flags(target, writer);

    uint32_t begin = root.offset() + 1;
    Edit head = {begin, begin, std::string(ours.view().substr(1))};
    bool is_first = true;
    for (auto [key, value] : root.members()) {
        bool goes = belongs_to_carrier(key.bytes, target) || !takes_member(key.bytes, target);
        uint32_t end = end_of(value);
        if (is_first && goes) {
            head.end = end;
        } else if (is_first) {
            head.text.append(",");
        } else if (goes) {
            edits.push_back({begin, end, {}});
        }
        begin = end;
        is_first = false;
    }
    edits.push_back(std::move(head));
}

}  // namespace

Status splice_request(Value root, const Envelope &, const Target &target, std::vector<Edit> &edits,
                      Notes &) {
    Value model = root.find("model");
    if (!model.is_string()) {
        return invalid("must be a string", "model");
    }
    if (!version_of(target.carrier).empty()) {
        splice_members(root, target, edits);
    } else if (!model.equals(target.model)) {
        ByteBuffer name;
        json::Writer(name).plain(target.model);
        replace(model, std::string(name.view()), edits);
    }
    splice_lists(root, target, edits);
    // Thinking that is on wants the thoughts of a turn with calls back.
    if (Value thinking = root.find("thinking"); target.without_reasoning && thinking.is_object()) {
        replace(thinking, R"({"type":"disabled"})", edits);
    }
    std::sort(edits.begin(), edits.end(),
              [](const Edit &a, const Edit &b) { return a.begin < b.begin; });
    return {};
}

}  // namespace llm::anthropic
