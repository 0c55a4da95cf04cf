// Pass-through: the few edits that a chat body needs on its way to a chat provider.
//
// Entry point: splice_request. The model gets the provider's name, and a stream is asked for its
// usage where the client did not; every other byte stays what it was.
#include <algorithm>

#include "translators/dialect/openai.hpp"

namespace llm::openai {

namespace {

void replace(json::Value value, std::string text, std::vector<Edit> &edits) {
    uint32_t begin = value.offset();
    edits.push_back(
        {begin, static_cast<uint32_t>(begin + value.raw().bytes.size()), std::move(text)});
}

// Insert a first member into an object.
void insert_member(json::Value object, std::string text, std::vector<Edit> &edits) {
    if (object.size() > 0) {
        text += ',';
    }
    edits.push_back({object.offset() + 1, object.offset() + 1, std::move(text)});
}

void ask_for_usage(json::Value root, std::vector<Edit> &edits) {
    json::Value options = root["stream_options"];
    if (options.absent()) {
        insert_member(root, "\"stream_options\":{\"include_usage\":true}", edits);
    } else if (options.is_null()) {
        replace(options, "{\"include_usage\":true}", edits);
    } else if (options.is_object()) {
        json::Value wish = options["include_usage"];
        if (wish.absent()) {
            insert_member(options, "\"include_usage\":true", edits);
        } else {
            replace(wish, "true", edits);
        }
    }
}

}  // namespace

Status splice_request(json::Value root, const Envelope &envelope, const Target &target,
                      std::vector<Edit> &edits) {
    json::Value model = root["model"];
    if (!model.is_string()) {
        return invalid("model must be a string", "model");
    }
    size_t first = edits.size();
    if (!model.equals(target.model)) {
        ByteBuffer name;
        name.append('"');
        json::append_escaped(target.model, name);
        name.append('"');
        replace(model, std::string(name.view()), edits);
    }
    if (envelope.stream && !envelope.usage_wanted && !target.traits.no_stream_options) {
        ask_for_usage(root, edits);
    }
    std::sort(edits.begin() + static_cast<std::ptrdiff_t>(first), edits.end(),
              [](const Edit &a, const Edit &b) { return a.begin < b.begin; });
    return {};
}

}  // namespace llm::openai
