// See other_endpoint.hpp.
#include "ngx_llm_module/request/other_endpoint.hpp"

#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/upstream/worker.hpp"
#include "translators/wire/multipart.hpp"

namespace llm {

bool understand_other(LlmRequest &request) {
    std::string_view boundary = wire::form_boundary(client_header(request.r, "content-type"));
    if (!boundary.empty()) {
        auto field = wire::find_form_field(request.body.view(), boundary, "model");
        if (!field) {
            reply_error(request, ErrorClass::invalid_request, "the form has no field of that name",
                        {}, "model");
            return false;
        }
        // Some take the last one, which nobody has looked at.
        if (wire::count_form_fields(request.body.view(), boundary, "model") != 1) {
            reply_error(request, ErrorClass::invalid_request, "the field is given twice", {},
                        "model");
            return false;
        }
        request.ledger.units =
            count_units(request.endpoint.other->path, request.body.view(), json::Value(), boundary);
        request.model_field = *field;
        request.model = *field;
        return true;
    }
    Result<json::Value> root = worker().parse_body(request, true);
    if (!root || !root->is_object()) {
        reply_error(request, ErrorClass::invalid_request,
                    root ? "the body must be a JSON object" : root.error().what, "invalid_json");
        return false;
    }
    request.ledger.units =
        count_units(request.endpoint.other->path, request.body.view(), *root, {});
    if (request.endpoint.has_path_model) {
        request.model = request.endpoint.model;
        return true;
    }
    json::Value model = (*root)["model"];
    if (!model.is_string() || !json::duplicate_key(*root).empty()) {
        reply_error(request, ErrorClass::invalid_request,
                    model.is_string() ? "a member is given twice" : "model must be a string", {},
                    "model");
        return false;
    }
    request.model = json::unescape(model.text(), request.arena);
    return true;
}

}  // namespace llm
