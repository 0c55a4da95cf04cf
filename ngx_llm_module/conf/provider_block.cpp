// llm_provider NAME { }
#include <cctype>

#include "ngx_llm_module/conf/accounts.hpp"
#include "ngx_llm_module/conf/block_reader.hpp"
#include "ngx_llm_module/conf/blocks.hpp"
#include "ngx_llm_module/conf/value.hpp"
#include "translators/json/reader.hpp"
#include "translators/wire/http1.hpp"

namespace llm {
namespace {

bool read_preset(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    provider.preset = find_provider_preset(view(args[0]));
    const RefusedPreset *refused = find_refused_preset(view(args[0]));
    if (refused != nullptr) {
        ngx_str_t reason = str(refused->reason);
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: preset \"%V\" is not available: %V",
                           &args[0], &reason);
        return false;
    }
    if (provider.preset == nullptr) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown preset \"%V\"", &args[0]);
        return false;
    }
    return true;
}

bool read_dialect(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    provider.dialect = find_dialect(view(args[0]));
    if (provider.dialect == nullptr) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown dialect \"%V\"", &args[0]);
        return false;
    }
    if (!provider.dialect->is_provider() && !can_pass(*provider.dialect)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: no provider is asked in the dialect \"%V\"",
                           &args[0]);
        return false;
    }
    provider.is_dialect_given = true;
    return true;
}

bool read_base_url(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    std::string_view url = view(args[0]);
    if (!url.starts_with("http://") && !url.starts_with("https://")) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: base_url \"%V\" must begin with http:// or https://", &args[0]);
        return false;
    }
    provider.base_urls.push_back({std::string(url), ConfPlace::here(cf)});
    return true;
}

bool read_api_key(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    return read_secret(cf, args[0], provider.api_keys.emplace_back());
}

// Variables of addresses: the host and the paths are fixed when the configuration is read.
bool set_variable(ngx_conf_t *cf, std::string_view name, ngx_str_t text, Provider &provider) {
    Value value;
    if (!read_secret(cf, text, value)) {
        return false;
    }
    bool is_bad = value.variable != nullptr;
    for (unsigned char c : value.fixed) {
        is_bad = is_bad || (std::isalnum(c) == 0 && strchr("-._~:/", c) == nullptr);
    }
    ngx_str_t what = str(name);
    if (is_bad) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid value of \"%V\"", &what);
        return false;
    }
    if (!provider.variable(name).empty()) {
        return refuse_duplicate(cf, name);
    }
    provider.variables.push_back({std::string(name), value.fixed, ConfPlace::here(cf)});
    return true;
}

bool read_variable(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    return set_variable(cf, view(args[0]), args[1], provider);
}

constexpr char kRegion[] = "region";
constexpr char kProject[] = "project";
constexpr char kResource[] = "resource";
constexpr char kApiVersion[] = "api_version";

template <const char *Name>
bool read_named_variable(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    return set_variable(cf, Name, args[0], provider);
}

template <Value AwsAccount::*Which>
bool read_aws(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    return read_secret(cf, args[0], provider.aws.*Which);
}

bool read_service_account(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    std::string_view source = view(args[0]);
    if (!source.starts_with("file:")) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: service_account must be file:PATH");
        return false;
    }
    return read_account_file(cf, source.substr(5), provider.service_account);
}

bool is_token(std::string_view name) {
    for (unsigned char c : name) {
        if (c <= 0x20 || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c) != nullptr) {
            return false;
        }
    }
    return !name.empty();
}

bool read_header(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    if (!is_token(view(args[0]))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid header name \"%V\"", &args[0]);
        return false;
    }
    // These frame the request.
    for (std::string_view own : {"content-length", "transfer-encoding", "connection"}) {
        if (wire::same_name(view(args[0]), own)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: header \"%V\" cannot be set", &args[0]);
            return false;
        }
    }
    ProviderHeader &header = provider.headers.emplace_back();
    header.name = view(args[0]);
    return read_secret(cf, args[1], header.value);
}

// NAME, or HOLDER.NAME of an object in the body.
bool is_param_name(std::string_view name) {
    size_t dot = name.find('.');
    return !has_bad_character(name, false) && dot != 0 && dot + 1 != name.size() &&
           dot == name.rfind('.');
}

// Both would make a member of one name.
bool is_beside_holder(std::string_view name, std::string_view other) {
    return name.size() > other.size()
               ? name.starts_with(other) && name[other.size()] == '.'
               : other.starts_with(name) && other != name && other[name.size()] == '.';
}

bool read_param(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    if (!is_param_name(view(args[0]))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid param name \"%V\"", &args[0]);
        return false;
    }
    for (const ProviderParam &other : provider.params) {
        if (other.name == view(args[0])) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: duplicate param \"%V\"", &args[0]);
            return false;
        }
        if (is_beside_holder(view(args[0]), other.name)) {
            ngx_str_t shown = str(other.name);
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: param \"%V\" stands beside \"%V\"",
                               &args[0], &shown);
            return false;
        }
    }
    json::Reader reader;
    if (!reader.parse_unpadded(view(args[1]))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: the value of param \"%V\" is not JSON (a text needs '\"quotes\"')",
                           &args[0]);
        return false;
    }
    provider.params.push_back({std::string(view(args[0])), std::string(view(args[1]))});
    return true;
}

bool read_ssl_verify(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    return read_flag(cf, args[0], provider.ssl_verify);
}

bool read_ssl_certificate(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    provider.ssl_trusted_certificate = {std::string(view(args[0])), ConfPlace::here(cf)};
    return true;
}

bool read_ssl_name(ngx_conf_t *, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    provider.ssl_name = view(args[0]);
    return true;
}

bool read_keepalive(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    return read_number(cf, args[0], 0, provider.keepalive);
}

// "0.9", "1.25": millionths.
bool read_cost_factor(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    constexpr int64_t kMost = 1000 * kOneFactor;
    ngx_int_t factor = ngx_atofp(args[0].data, args[0].len, 6);
    if (factor == NGX_ERROR || factor > kMost) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid factor \"%V\"", &args[0]);
        return false;
    }
    provider.cost_factor = factor;
    return true;
}

constexpr Line<Provider> kProviderLines[] = {
    {"preset", 1, 1, read_preset},
    {"dialect", 1, 1, read_dialect},
    {"base_url", 1, 1, read_base_url, Occurs::often},
    {"api_key", 1, 1, read_api_key, Occurs::often},
    {"header", 2, 2, read_header, Occurs::often},
    {"param", 2, 2, read_param, Occurs::often},
    {"ssl_verify", 1, 1, read_ssl_verify},
    {"ssl_trusted_certificate", 1, 1, read_ssl_certificate},
    {"ssl_name", 1, 1, read_ssl_name},
    {"keepalive", 1, 1, read_keepalive},
    {"cost_factor", 1, 1, read_cost_factor},
    {"var", 2, 2, read_variable, Occurs::often},
    {"region", 1, 1, read_named_variable<kRegion>},
    {"project", 1, 1, read_named_variable<kProject>},
    {"resource", 1, 1, read_named_variable<kResource>},
    {"api_version", 1, 1, read_named_variable<kApiVersion>},
    {"aws_access_key_id", 1, 1, read_aws<&AwsAccount::id>},
    {"aws_secret_access_key", 1, 1, read_aws<&AwsAccount::secret>},
    {"aws_session_token", 1, 1, read_aws<&AwsAccount::token>},
    {"service_account", 1, 1, read_service_account},
    LLM_TIMEOUT_LINES(Provider),
};

}  // namespace

char *read_provider_block(ngx_conf_t *cf, Config &config) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    std::string_view name = view(args[1]);
    if (has_bad_character(name, false) || name.find('/') != std::string_view::npos ||
        name == "models") {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid provider name \"%V\"", &args[1]);
        return conf_error();
    }
    if (config.find_provider(name) != nullptr) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: duplicate provider \"%V\"", &args[1]);
        return conf_error();
    }
    Provider &provider = *config.providers.emplace_back(std::make_unique<Provider>());
    provider.name = name;
    provider.place = ConfPlace::here(cf);
    return read_block(cf, kProviderLines, provider, "llm_provider");
}

}  // namespace llm
