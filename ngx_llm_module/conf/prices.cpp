// Prices are read when the configuration is: a file that is broken is an error of `nginx -t`, and a
// reload with it leaves the old configuration, with its prices, in place.
#include "ngx_llm_module/conf/prices.hpp"

#include <utility>

#include "ngx_llm_module/conf/complain.hpp"
#include "translators/pricing/price_file.hpp"

namespace llm {
namespace {

constexpr off_t kMaxPriceFile = 64 * 1024 * 1024;

// More than any model costs: it was meant for a million of them.
constexpr int64_t kTooMuchForOneToken = 10000000000000;  // a cent

bool read_file(ngx_conf_t *cf, const Placed &file, std::string &text) {
    ngx_fd_t fd = ngx_open_file(file.text.c_str(), NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    ngx_file_info_t info;
    bool is_read = false;
    if (fd != NGX_INVALID_FILE && ngx_fd_info(fd, &info) != NGX_FILE_ERROR &&
        ngx_file_size(&info) <= kMaxPriceFile) {
        text.resize(size_t(ngx_file_size(&info)));
        size_t size = 0;
        ssize_t got = 1;
        while (size < text.size() && got > 0) {
            got = ngx_read_fd(fd, text.data() + size, text.size() - size);
            size += got > 0 ? size_t(got) : 0;
        }
        text.resize(size);
        is_read = got >= 0;
    }
    int error = ngx_errno;
    if (fd != NGX_INVALID_FILE) {
        ngx_close_file(fd);
    }
    if (!is_read) {
        complain(cf, file.place, "cannot read the prices in \"%s\" (%d)", file.text.c_str(), error);
    }
    return is_read;
}

bool prices_are_bad = false;

}  // namespace

bool read_prices(ngx_conf_t *cf, Config &config) {
    prices_are_bad = true;
    auto is_account = [&](std::string_view name) { return config.find_provider(name) != nullptr; };
    for (const Placed &file : config.price_files) {
        std::string text;
        if (!read_file(cf, file, text)) {
            return false;
        }
        PriceFileError error;
        if (!read_price_file(text, is_account, config.prices, error)) {
            return complain(cf, file.place, "prices in \"%s\", line %uD: %s", file.text.c_str(),
                            error.line, error.what.c_str());
        }
    }
    prices_are_bad = false;
    return true;
}

bool are_prices_bad() {
    return std::exchange(prices_are_bad, false);
}

void price_deployments(Config &config) {
    for (auto &model : config.models) {
        for (Deployment &deployment : model->deployments) {
            deployment.price = find_price(config, deployment, deployment.model);
        }
    }
}

Price find_price(const Config &config, const Deployment &deployment, std::string_view model) {
    const Provider &provider = *deployment.provider;
    PriceQuery query;
    query.preset = provider.preset != nullptr ? provider.preset->name : std::string_view();
    query.account = provider.name;
    query.model = model;
    Price price = find_price(query, &config.prices);
    if (!deployment.own_price.empty()) {
        price.items = deployment.own_price;
    }
    return price;
}

bool read_token_cost(ngx_conf_t *cf, ngx_str_t text, PriceKind kind, Deployment &deployment) {
    int64_t amount = parse_amount(view(text), kPerToken);
    if (amount < 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid cost \"%V\", expected dollars for one token, such as "
                           "0.0000025 or 2.5e-6",
                           &text);
        return false;
    }
    if (amount >= kTooMuchForOneToken) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: cost \"%V\" is too large: it is in dollars for one token, 2.5 "
                           "for a million is 2.5e-6",
                           &text);
        return false;
    }
    deployment.own_price.push_back({PriceSection::base, kind, amount});
    return true;
}

}  // namespace llm
