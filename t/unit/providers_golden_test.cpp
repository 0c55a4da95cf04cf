// The request line, host, headers and credential of every preset, for one model and one key: the
// whole catalogue in t/golden/providers.txt. GOLDEN_UPDATE=1 writes it anew; read the diff before
// you keep it. Headers that all requests have are left out.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "translators/provider/address.hpp"
#include "translators/provider/request_head.hpp"

namespace llm {
namespace {

constexpr std::string_view kModel = "maker/model:1";
constexpr char kFile[] = "t/golden/providers.txt";

bool is_usual(std::string_view line) {
    for (std::string_view usual :
         {"content-type: application/json", "accept: application/json", "accept: text/event-stream",
          "accept-encoding: identity", "content-length: 2"}) {
        if (line == usual) {
            return true;
        }
    }
    return line.empty();
}

// The lines of a request to this address.
std::string request_to(const ProviderPreset &preset, const Address &address,
                       std::string_view base_url, bool is_stream) {
    size_t authority = base_url.find("//") + 2;
    size_t slash = std::min(base_url.find('/', authority), base_url.size());
    bool has_path = is_stream && !address.stream_path.empty();
    std::string path = fill_model(has_path ? address.stream_path : address.chat_path, kModel);
    RequestHead request;
    request.base_path = base_url.substr(slash);
    request.path = path;
    request.host = base_url.substr(authority, slash - authority);
    request.dialect = address.dialect;
    request.carrier = address.carrier;
    request.is_stream = is_stream;
    request.body_size = 2;
    request.auth = preset.auth;
    request.key = "KEY";
    request.fixed = preset.headers;
    std::string head;
    append_head(request, head);

    std::string lines;
    std::string_view rest = head;
    while (!rest.empty()) {
        std::string_view line = rest.substr(0, rest.find("\r\n"));
        rest.remove_prefix(line.size() + 2);
        if (!is_usual(line)) {
            lines.append("    ").append(line.substr(0, line.find(" HTTP/1.1"))).append("\n");
        }
    }
    if (preset.auth.kind == AuthKind::sigv4) {
        lines.append("    signed for ").append(preset.auth.service).append("\n");
    }
    return lines;
}

// Every variable has its own name as its value.
std::vector<UrlVariable> variables_of(const ProviderPreset &preset) {
    std::vector<std::string_view> names;
    for (std::string_view text : {preset.base_url, preset.chat_path}) {
        add_variables(text, names);
    }
    for (const Spoken &spoken : preset.also) {
        add_variables(spoken.base_url, names);
    }
    std::vector<UrlVariable> variables;
    for (std::string_view name : names) {
        variables.push_back({name, name.ends_with("base_url") ? "https://own.test" : name});
    }
    return variables;
}

void describe(const ProviderPreset &preset, const Address &address, std::string_view main_url,
              std::string &out) {
    out.append("  ").append(address.dialect->name).append("\n");
    std::string_view base_url = address.base_url.empty() ? main_url : address.base_url;
    std::string whole = request_to(preset, address, base_url, false);
    std::string stream = request_to(preset, address, base_url, true);
    out.append(whole);
    if (stream != whole) {
        out.append("  ").append(address.dialect->name).append(", streaming\n").append(stream);
    }
}

std::string describe(const ProviderPreset &preset) {
    std::string out(preset.name);
    out.append("\n");
    std::vector<UrlVariable> variables = variables_of(preset);
    const Dialect *dialect = find_registered(preset.dialect);
    if (dialect == nullptr) {
        return out.append("  no dialect ").append(dialect_name(preset.dialect)).append("\n");
    }
    Address main;
    EXPECT_EQ(main_address(preset, *dialect, variables, main), "") << preset.name;
    if (main.base_url.empty()) {
        main.base_url = "https://own.test";
    }
    describe(preset, main, main.base_url, out);
    for (const Spoken &spoken : preset.also) {
        const Dialect *further = find_registered(spoken.dialect);
        if (further == nullptr || !can_pass(*further)) {
            continue;
        }
        Address address;
        EXPECT_EQ(further_address(spoken, *further, variables, address), "") << preset.name;
        describe(preset, address, main.base_url, out);
    }
    return out;
}

TEST(ProvidersGolden, EveryPreset) {
    std::string all;
    for (const ProviderPreset &preset : provider_presets()) {
        if (preset.name != "mock") {
            all.append(describe(preset));
        }
    }
    const char *update = getenv("GOLDEN_UPDATE");
    if (update != nullptr && std::string_view(update) == "1") {
        std::ofstream(kFile, std::ios::binary) << all;
        return;
    }
    std::ifstream file(kFile, std::ios::binary);
    std::stringstream expected;
    expected << file.rdbuf();
    // Line by line: two thousand lines in one message help nobody.
    std::istringstream actual(all);
    std::string ours, theirs, preset;
    while (std::getline(actual, ours)) {
        preset = ours[0] == ' ' ? preset : ours;
        ASSERT_TRUE(std::getline(expected, theirs)) << preset << " is not in " << kFile;
        ASSERT_EQ(ours, theirs) << preset;
    }
    EXPECT_FALSE(std::getline(expected, theirs)) << theirs << " is only in " << kFile;
}

}  // namespace
}  // namespace llm
