// See kept_answers.hpp. A name that was sealed for another caller is one that does not exist.
#include "ngx_llm_module/request/kept_answers.hpp"

#include <algorithm>

#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "translators/provider/kept_id.hpp"

namespace llm {
namespace {

// Who a name is sealed for: nobody where no key is needed.
std::string_view owner_of(const LlmRequest &request) {
    const Identity &identity = request.identity;
    if (identity.key != nullptr) {
        return identity.key->counted_as();  // a new key in the place of an old one is the same
    }
    return identity.is_master ? "master" : "";
}

// Something that no caller knows and all machines of one configuration share: the provider's key,
// or the master key where the provider wants none.
std::string_view secret_of(const LlmRequest &request, const Provider &provider) {
    if (!provider.api_keys.empty() && !provider.api_keys[0].fixed.empty()) {
        return provider.api_keys[0].fixed;
    }
    const std::vector<std::string> &masters = request.config.master_hashes;
    return masters.empty() ? std::string_view() : std::string_view(masters[0]);
}

KeptSeal seal_for(const LlmRequest &request, const Deployment &deployment) {
    return {secret_of(request, *deployment.provider), owner_of(request), deployment.id};
}

struct Origin {
    const Model *model = nullptr;
    const Deployment *deployment = nullptr;
};

Origin find_origin(const LlmRequest &request, const KeptId &id) {
    for (const auto *models : {&request.config.models, &request.config.direct}) {
        for (const auto &model : *models) {
            for (const Deployment &deployment : model->deployments) {
                if (kept_tag(deployment.id) == id.tag &&
                    (request.identity.is_master ||
                     is_sealed_with(id, seal_for(request, deployment)))) {
                    return {model.get(), &deployment};
                }
            }
        }
    }
    return {};
}

}  // namespace

bool renames_answer(const LlmRequest &request) {
    return request.client->id == DialectId::responses && request.only_provider == nullptr &&
           (request.envelope.keeps_answer || request.is_kept()) &&
           request.speech().dialect == request.client;
}

void append_renamed(const LlmRequest &request, std::string_view text, std::string_view id,
                    std::string_view previous, ByteBuffer &out) {
    KeptSeal seal = seal_for(request, *request.candidate().deployment);
    std::string_view names[] = {id, previous};
    std::sort(std::begin(names), std::end(names), [](std::string_view a, std::string_view b) {
        return std::less<>()(a.data(), b.data());
    });
    const char *at = text.data();
    for (std::string_view name : names) {
        // A name with an escape in it would not be the same when it comes back.
        if (!name.empty() && name.find('\\') == std::string_view::npos) {
            out.append({at, size_t(name.data() - at)});
            out.append(seal_kept_id(seal, name));
            at = name.data() + name.size();
        }
    }
    out.append({at, size_t(text.data() + text.size() - at)});
}

bool find_kept(LlmRequest &request) {
    std::optional<KeptId> id = read_kept_id(request.endpoint.kept_id);
    Origin origin = id ? find_origin(request, *id) : Origin();
    if (origin.deployment == nullptr) {
        reply_error(request, ErrorClass::not_found, "there is no such response", {}, "response_id");
        return false;
    }
    request.kept_id = id->id;
    request.keeper = origin.deployment->provider;
    request.model = origin.model->name;  // what the caller must have the right to
    request.candidates.push_back({origin.model, origin.deployment, origin.deployment->model});
    return true;
}

bool keep_to_origin(LlmRequest &request) {
    if (request.envelope.previous.empty() || request.client->id != DialectId::responses ||
        request.only_provider != nullptr) {
        return true;
    }
    std::string_view sent = json::unescape(request.envelope.previous, request.arena);
    std::optional<KeptId> id = read_kept_id(sent);
    if (!id && owner_of(request).empty()) {
        return true;  // a provider's own name, at a gateway without keys
    }
    Origin origin = id ? find_origin(request, *id) : Origin();
    if (origin.deployment != nullptr) {
        request.kept_id = id->id;
        request.keeper = origin.deployment->provider;
        std::erase_if(request.candidates, [&](const Candidate &candidate) {
            return candidate.deployment->provider != request.keeper;
        });
        std::stable_partition(
            request.candidates.begin(), request.candidates.end(),
            [&](const Candidate &candidate) { return candidate.deployment == origin.deployment; });
    }
    if (origin.deployment == nullptr || request.candidates.empty()) {
        reply_error(request, ErrorClass::invalid_request,
                    origin.deployment == nullptr
                        ? "there is no such response"
                        : "the response is kept by a provider that does not serve this model",
                    "previous_response_not_found", "previous_response_id");
        return false;
    }
    return true;
}

}  // namespace llm
