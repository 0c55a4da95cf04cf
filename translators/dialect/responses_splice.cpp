// Pass-through: the edits that a Responses body needs. A stream tells its usage without being
// asked, so that is the model's name, the name of the answer before this one, and reasoning that
// another dialect's provider made in an earlier turn: it could not be decrypted here, and the whole
// conversation would be refused for it.
#include <algorithm>

#include "translators/dialect/opaque_tag.hpp"
#include "translators/dialect/responses.hpp"

namespace llm::responses {

namespace {

using json::Value;

uint32_t end_of(Value value) {
    return value.offset() + static_cast<uint32_t>(value.raw().bytes.size());
}

void replace_text(Value value, std::string_view plain, std::vector<Edit> &edits) {
    ByteBuffer text;
    text.append('"');
    json::append_escaped(plain, text);
    text.append('"');
    edits.push_back({value.offset(), end_of(value), std::string(text.view())});
}

bool is_foreign(Value item, const Target &target) {
    if (!item.find("type").equals("reasoning")) {
        return false;
    }
    return target.without_reasoning ||
           read_opaque(item.find("encrypted_content").text(), DialectId::responses).origin !=
               DialectId::responses;
}

// Each run of such items goes with the comma behind it, or the one before it at the end.
void drop_foreign(Value input, const Target &target, std::vector<Edit> &edits) {
    bool is_in_run = false, has_kept = false;
    uint32_t run = 0, kept_end = 0, end = 0;
    for (Value item : input.items()) {
        if (is_foreign(item, target)) {
            run = is_in_run ? run : item.offset();
            is_in_run = true;
        } else {
            if (is_in_run) {
                edits.push_back({run, item.offset(), {}});
            }
            is_in_run = false;
            has_kept = true;
            kept_end = end_of(item);
        }
        end = end_of(item);
    }
    if (is_in_run) {
        edits.push_back({has_kept ? kept_end : run, end, {}});
    }
}

}  // namespace

Status splice_request(Value root, const Envelope &, const Target &target, std::vector<Edit> &edits,
                      Notes &) {
    Value model = root["model"];
    if (!model.is_string()) {
        return invalid("model must be a string", "model");
    }
    if (Value input = root["input"]; input.is_array()) {
        drop_foreign(input, target, edits);
    }
    if (!model.equals(target.model)) {
        replace_text(model, target.model, edits);
    }
    if (Value previous = root["previous_response_id"];
        previous.is_string() && !target.previous_id.empty()) {
        replace_text(previous, target.previous_id, edits);
    }
    std::sort(edits.begin(), edits.end(),
              [](const Edit &one, const Edit &other) { return one.begin < other.begin; });
    return {};
}

}  // namespace llm::responses
