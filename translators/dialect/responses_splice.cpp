// Pass-through: the one edit that a Responses body needs. A stream tells its usage without being
// asked, so the model's name is all.
#include "translators/dialect/responses.hpp"

namespace llm::responses {

Status splice_request(json::Value root, const Envelope &, const Target &target,
                      std::vector<Edit> &edits) {
    json::Value model = root["model"];
    if (!model.is_string()) {
        return invalid("model must be a string", "model");
    }
    if (model.equals(target.model)) {
        return {};
    }
    ByteBuffer name;
    name.append('"');
    json::append_escaped(target.model, name);
    name.append('"');
    uint32_t begin = model.offset();
    edits.push_back(
        {begin, static_cast<uint32_t>(begin + model.raw().bytes.size()), std::string(name.view())});
    return {};
}

}  // namespace llm::responses
