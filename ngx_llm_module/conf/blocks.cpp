// llm_provider NAME { } and llm_model NAME { }: each line of a block is a row in a table of
// names and readers. Errors are logged with file and line where they stand; what needs the whole
// configuration (does that provider exist?) is left to check.cpp.
#include "ngx_llm_module/conf/blocks.hpp"

#include <cctype>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/conf/accounts.hpp"
#include "ngx_llm_module/conf/prices.hpp"
#include "ngx_llm_module/conf/value.hpp"
#include "translators/json/reader.hpp"
#include "translators/wire/http1.hpp"

namespace llm {
namespace {

template <class Object>
struct Line {
    std::string_view name;
    ngx_uint_t min_args, max_args;
    bool (*read)(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Object &object);
};

template <class Object>
struct Block {
    const Line<Object> *lines;
    size_t count;
    Object *object;
    const char *directive;
};

template <class Object>
char *read_line(ngx_conf_t *cf, ngx_command_t *, void *data) {
    const auto &block = *static_cast<Block<Object> *>(data);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    ngx_uint_t count = cf->args->nelts - 1;
    for (size_t i = 0; i < block.count; i++) {
        const Line<Object> &line = block.lines[i];
        if (line.name != view(args[0])) {
            continue;
        }
        if (count < line.min_args || count > line.max_args) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "llm: invalid number of arguments in \"%V\" of %s", &args[0],
                               block.directive);
            return conf_error();
        }
        return line.read(cf, args + 1, count, *block.object) ? conf_ok() : conf_error();
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown directive \"%V\" in %s", &args[0],
                       block.directive);
    return conf_error();
}

template <class Object, size_t N>
char *read_block(ngx_conf_t *cf, const Line<Object> (&lines)[N], Object &object,
                 const char *directive) {
    Block<Object> block{lines, N, &object, directive};
    ngx_conf_t saved = *cf;
    cf->handler = guard_conf<read_line<Object>>;
    cf->handler_conf = &block;
    char *result = ngx_conf_parse(cf, nullptr);
    *cf = saved;
    return result;
}

// Names stand in URLs, headers and logs.
bool has_bad_character(std::string_view name, bool star_at_end) {
    for (size_t i = 0; i < name.size(); i++) {
        unsigned char c = static_cast<unsigned char>(name[i]);
        if (c <= 0x20 || c == 0x7f || c == '"' || c == '\\' ||
            (c == '*' && !(star_at_end && i + 1 == name.size()))) {
            return true;
        }
    }
    return name.empty();
}

bool read_time(ngx_conf_t *cf, ngx_str_t text, ngx_msec_t &time) {
    ngx_int_t parsed = ngx_parse_time(&text, 0);
    if (parsed == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid time \"%V\"", &text);
        return false;
    }
    time = ngx_msec_t(parsed);
    return true;
}

bool read_number(ngx_conf_t *cf, ngx_str_t text, ngx_int_t least, ngx_uint_t &number) {
    ngx_int_t parsed = ngx_atoi(text.data, text.len);
    if (parsed == NGX_ERROR || parsed < least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid number \"%V\", expected %i or more",
                           &text, least);
        return false;
    }
    number = ngx_uint_t(parsed);
    return true;
}

bool read_flag(ngx_conf_t *cf, ngx_str_t text, bool &flag) {
    if (view(text) == "on" || view(text) == "off") {
        flag = view(text) == "on";
        return true;
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid value \"%V\", expected on or off",
                       &text);
    return false;
}

ngx_msec_t *timeout_by_name(std::string_view name, Timeouts &timeouts) {
    if (name.starts_with("llm_")) {
        name.remove_prefix(4);
    }
    return name == "connect_timeout"       ? &timeouts.connect
           : name == "first_token_timeout" ? &timeouts.first_token
           : name == "idle_timeout"        ? &timeouts.idle
           : name == "timeout"             ? &timeouts.total
                                           : nullptr;
}

template <class Object, ngx_msec_t Timeouts::*Which>
bool read_timeout(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Object &object) {
    return read_time(cf, args[0], object.timeouts.*Which);
}

// Both spellings: the ones of the enclosing levels, and without their prefix.
#define LLM_TIMEOUT_LINES(Object)                                                        \
    {"connect_timeout", 1, 1, read_timeout<Object, &Timeouts::connect>},                 \
        {"first_token_timeout", 1, 1, read_timeout<Object, &Timeouts::first_token>},     \
        {"idle_timeout", 1, 1, read_timeout<Object, &Timeouts::idle>},                   \
        {"timeout", 1, 1, read_timeout<Object, &Timeouts::total>},                       \
        {"llm_connect_timeout", 1, 1, read_timeout<Object, &Timeouts::connect>},         \
        {"llm_first_token_timeout", 1, 1, read_timeout<Object, &Timeouts::first_token>}, \
        {"llm_idle_timeout", 1, 1, read_timeout<Object, &Timeouts::idle>}, {             \
        "llm_timeout", 1, 1, read_timeout<Object, &Timeouts::total>                      \
    }

// --- llm_provider ---------------------------------------------------------------------------

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
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: \"%V\" is duplicate", &what);
        return false;
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

bool read_param(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Provider &provider) {
    if (has_bad_character(view(args[0]), false)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid param name \"%V\"", &args[0]);
        return false;
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

constexpr Line<Provider> kProviderLines[] = {
    {"preset", 1, 1, read_preset},
    {"dialect", 1, 1, read_dialect},
    {"base_url", 1, 1, read_base_url},
    {"api_key", 1, 1, read_api_key},
    {"header", 2, 2, read_header},
    {"param", 2, 2, read_param},
    {"ssl_verify", 1, 1, read_ssl_verify},
    {"ssl_trusted_certificate", 1, 1, read_ssl_certificate},
    {"ssl_name", 1, 1, read_ssl_name},
    {"keepalive", 1, 1, read_keepalive},
    {"var", 2, 2, read_variable},
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

// --- llm_model ------------------------------------------------------------------------------

bool read_mock_option(ngx_conf_t *cf, std::string_view name, ngx_str_t value, MockScript &mock,
                      bool &known) {
    known = true;
    ngx_uint_t number = 0;
    if (name == "reply") {
        mock.reply = view(value);
        return true;
    }
    if (name == "chunks") {
        return read_number(cf, value, 1, mock.chunks);
    }
    if (name == "interval") {
        return read_time(cf, value, mock.interval);
    }
    if (name == "delay") {
        return read_time(cf, value, mock.delay);
    }
    if (name == "status") {
        if (!read_number(cf, value, 200, mock.status)) {
            return false;
        }
        if (mock.status > 599) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid status \"%V\"", &value);
            return false;
        }
        return true;
    }
    if (name == "cut_after") {
        if (!read_number(cf, value, 0, number)) {
            return false;
        }
        mock.cut_after = ngx_int_t(number);
        return true;
    }
    known = false;
    return true;
}

bool read_deployment_option(ngx_conf_t *cf, ngx_str_t option, Deployment &deployment) {
    std::string_view text = view(option);
    size_t equals = text.find('=');
    std::string_view name = text.substr(0, equals);
    if (equals == std::string_view::npos) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid parameter \"%V\" of deployment",
                           &option);
        return false;
    }
    ngx_str_t value = str(text.substr(equals + 1));
    if (name == "weight") {
        return read_number(cf, value, 0, deployment.weight);
    }
    if (name == "order") {
        return read_number(cf, value, 0, deployment.order);
    }
    if (name == "id") {
        deployment.id = view(value);
        if (has_bad_character(deployment.id, false)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid deployment id \"%V\"", &value);
            return false;
        }
        return true;
    }
    if (name == "input_cost" || name == "output_cost") {
        return read_token_cost(cf, value, name == "input_cost" ? PriceKind::in : PriceKind::out,
                               deployment);
    }
    if (ngx_msec_t *timeout = timeout_by_name(name, deployment.timeouts)) {
        return read_time(cf, value, *timeout);
    }
    bool known = false;
    if (!read_mock_option(cf, name, value, deployment.mock, known)) {
        return false;
    }
    if (!known) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown parameter \"%V\" of deployment",
                           &option);
    }
    return known;
}

bool read_deployment(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model) {
    std::string_view target = view(args[0]);
    size_t slash = target.find('/');
    if (slash == 0 || slash == std::string_view::npos || slash + 1 == target.size()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: deployment \"%V\" must have the form PROVIDER/MODEL", &args[0]);
        return false;
    }
    Deployment &deployment = model.deployments.emplace_back();
    deployment.place = ConfPlace::here(cf);
    deployment.provider_name = target.substr(0, slash);
    deployment.model = target.substr(slash + 1);
    if (deployment.is_wildcard() && !model.is_wildcard()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: deployment \"%V\" has a wildcard, its model \"%s\" has none",
                           &args[0], model.name.c_str());
        return false;
    }
    for (ngx_uint_t i = 1; i < count; i++) {
        if (!read_deployment_option(cf, args[i], deployment)) {
            return false;
        }
    }
    return true;
}

bool read_alias(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model) {
    for (ngx_uint_t i = 0; i < count; i++) {
        if (has_bad_character(view(args[i]), false)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid alias \"%V\"", &args[i]);
            return false;
        }
        model.aliases.push_back({std::string(view(args[i])), ConfPlace::here(cf)});
    }
    return true;
}

bool read_drop_params(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Model &model) {
    bool flag = false;
    if (!read_flag(cf, args[0], flag)) {
        return false;
    }
    model.drop_params = flag;
    return true;
}

constexpr Line<Model> kModelLines[] = {
    {"deployment", 1, 32, read_deployment},
    {"alias", 1, 64, read_alias},
    {"drop_params", 1, 1, read_drop_params},
    {"llm_drop_params", 1, 1, read_drop_params},
    LLM_TIMEOUT_LINES(Model),
};

#undef LLM_TIMEOUT_LINES

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

char *read_model_block(ngx_conf_t *cf, Config &config) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (has_bad_character(view(args[1]), true)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid model name \"%V\" (a \"*\" may stand at the end only)",
                           &args[1]);
        return conf_error();
    }
    Model &model = *config.models.emplace_back(std::make_unique<Model>());
    model.name = view(args[1]);
    model.place = ConfPlace::here(cf);
    char *result = read_block(cf, kModelLines, model, "llm_model");
    if (result == conf_ok() && model.deployments.empty()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: model \"%s\" has no deployment",
                           model.name.c_str());
        return conf_error();
    }
    return result;
}

}  // namespace llm
