// See outgoing_path.hpp.
#include "ngx_llm_module/upstream/outgoing_path.hpp"

#include "ngx_llm_module/request/llm_request.hpp"
#include "translators/provider/path.hpp"

namespace llm {
namespace {

// Is a parameter of this name in the query already?
bool has_parameter(std::string_view target, std::string_view name) {
    size_t question = target.find('?');
    while (question != std::string_view::npos) {
        target.remove_prefix(question + 1);
        if (target.substr(0, target.find_first_of("=&")) == name) {
            return true;
        }
        question = target.find('&');
    }
    return false;
}

bool is_version(std::string_view segment) {
    return segment.size() > 2 && segment[1] == 'v' && segment[2] >= '0' && segment[2] <= '9';
}

// Clients append "/v1" and the like to what they think is the host, or all of a path that they know
// ("/v1/projects/..."); base URLs often end in it already.
std::string_view without_base(std::string_view path, std::string_view base) {
    size_t last = base.rfind('/');
    if (last == std::string_view::npos) {
        return path;
    }
    auto below = [&](std::string_view known) {
        return path.starts_with(known) &&
               (path.size() == known.size() || path[known.size()] == '/');
    };
    if (last > 0 && below(base)) {
        path.remove_prefix(base.size());
    } else if (is_version(base.substr(last)) && below(base.substr(last))) {
        path.remove_prefix(base.size() - last);
    }
    return path;
}

}  // namespace

void append_query(const LlmRequest &request, std::string &target) {
    std::string own = target;
    std::string_view args = view(request.r->args);
    char separator = own.find('?') == std::string::npos ? '?' : '&';
    while (!args.empty()) {
        std::string_view one = args.substr(0, args.find('&'));
        args.remove_prefix(one.size() == args.size() ? one.size() : one.size() + 1);
        std::string_view name = one.substr(0, one.find('='));
        if (!one.empty() && name != "key" && !has_parameter(own, name)) {
            target.append(1, separator).append(one);
            separator = '&';
        }
    }
}

std::string raw_target(const LlmRequest &request, const Endpoint &endpoint) {
    std::string_view path = without_base(request.raw_path, endpoint.path);
    std::string target(path);
    if (!request.is_raw_path_escaped) {
        uintptr_t extra =
            2 * ngx_escape_uri(nullptr, (u_char *)path.data(), path.size(), NGX_ESCAPE_URI);
        target.resize(path.size() + extra);
        ngx_escape_uri((u_char *)target.data(), (u_char *)path.data(), path.size(), NGX_ESCAPE_URI);
    }
    append_query(request, target);
    return target;
}

std::string chat_target(const LlmRequest &request, const Speech &speech, std::string_view model) {
    bool is_stream = request.is_stream() && !speech.stream_path.empty();
    std::string path = fill_model(request.is_count() ? speech.count_path
                                  : is_stream        ? speech.stream_path
                                                     : speech.chat_path,
                                  model);
    if (speech.dialect == request.client && request.only_provider != nullptr) {
        append_query(request, path);  // such a location is the provider's own address
    }
    return path;
}

}  // namespace llm
