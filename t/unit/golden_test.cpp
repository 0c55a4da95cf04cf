// Golden files: t/golden/<kind>/<case>/ holds an input in one dialect and, side by side, what
// becomes of it. GOLDEN_UPDATE=1 writes the expectations anew; read the diff before you keep it.
//
//   request/    input.DIALECT.json      to.MODEL.json: body, and what was dropped or renamed
//   response/   input.DIALECT.json      to.DIALECT.json: the body that a client gets
//   stream/     input.DIALECT.sse       to.DIALECT.sse: the bytes that a client gets (a binary
//                                       stream is stored as input.DIALECT.b64)
//   error/      input.STATUS.json|txt   to.DIALECT.json: status and body
//
// case.json (optional) sets targets (MODEL, or DIALECT:MODEL), clients, drop_params and properties
// of the client. Ids come from a fixed source, and it is always the same second.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "t/check/pump.hpp"
#include "translators/provider/model_traits.hpp"

namespace llm::check {
namespace {

namespace fs = std::filesystem;
using json::Value;

fs::path golden_root() {
    const char *given = getenv("GOLDEN_DIR");
    return given != nullptr ? given : "t/golden";
}

bool is_update() {
    const char *given = getenv("GOLDEN_UPDATE");
    return given != nullptr && std::string_view(given) != "" && std::string_view(given) != "0";
}

std::string read_file(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string indent(size_t depth) {
    return std::string(depth * 2, ' ');
}

// Members in their order, numbers and strings byte for byte: only white space is ours.
void pretty(Value value, size_t depth, std::string &out) {
    std::string line(value.raw().bytes);
    bool is_short = line.size() + depth * 2 < 90 && line.find('\n') == std::string::npos;
    if (value.size() == 0 || (is_short && !value.is_object())) {
        out += line;
        return;
    }
    bool is_object = value.is_object();
    out += is_object ? "{" : "[";
    const char *comma = "\n";
    auto next = [&] {
        out += comma + indent(depth + 1);
        comma = ",\n";
    };
    for (Value item : value.items()) {
        next();
        pretty(item, depth + 1, out);
    }
    for (auto [key, member] : value.members()) {
        next();
        out.append("\"").append(key.bytes).append("\": ");
        pretty(member, depth + 1, out);
    }
    out += "\n" + indent(depth) + (is_object ? "}" : "]");
}

std::string pretty(std::string_view body) {
    Document document(body, {.allow_lone_surrogates = true});
    if (!document) {
        return "NOT JSON: " + std::string(body);
    }
    std::string out;
    pretty(document.root(), 0, out);
    return out + "\n";
}

// One folder with its input.
struct Case {
    fs::path folder;
    std::string kind;

    std::string name() const { return kind + "_" + folder.filename().string(); }
};

void PrintTo(const Case &golden, std::ostream *out) {
    *out << golden.name();
}

std::vector<Case> find_cases() {
    std::vector<Case> cases;
    for (const char *kind : {"request", "response", "stream", "error"}) {
        std::error_code failed;
        for (const auto &entry : fs::directory_iterator(golden_root() / kind, failed)) {
            if (entry.is_directory()) {
                cases.push_back({entry.path(), kind});
            }
        }
    }
    std::sort(cases.begin(), cases.end(),
              [](const Case &a, const Case &b) { return a.name() < b.name(); });
    return cases;
}

class Golden : public testing::TestWithParam<Case> {
  protected:
    void SetUp() override {
        const Case &golden = GetParam();
        for (const auto &entry : fs::directory_iterator(golden.folder)) {
            std::string name = entry.path().filename().string();
            if (name.starts_with("input.")) {
                ASSERT_TRUE(input_name_.empty()) << "two inputs in " << golden.folder;
                input_name_ = name.substr(6, name.rfind('.') - 6);
                input_ = stream_bytes(name, read_file(entry.path()));
            } else if (name.starts_with("to.")) {
                unused_.push_back(name);
            } else {
                ASSERT_EQ(name, "case.json") << "in " << golden.folder;
            }
        }
        ASSERT_FALSE(input_name_.empty()) << "no input in " << golden.folder;
        std::string settings = read_file(golden.folder / "case.json");
        settings_ = std::make_unique<Document>(settings.empty() ? "{}" : settings);
        ASSERT_TRUE(*settings_) << "case.json of " << golden.folder;
        if (golden.kind != "error") {
            const Dialect *from = find_dialect(input_name_);
            ASSERT_NE(from, nullptr) << input_name_;
            from_ = from->id;
        }
    }

    void TearDown() override {
        for (const std::string &name : unused_) {
            if (is_update()) {
                fs::remove(GetParam().folder / name);
            } else {
                ADD_FAILURE() << name << " is expected, and nothing makes it";
            }
        }
    }

    Value setting(std::string_view name) const { return settings_->root()[name]; }

    ClientView view() {
        ClientView view = full_view(ids_);
        view.usage_wanted = setting("usage_wanted").as_bool().value_or(true);
        view.show_reasoning = setting("show_reasoning").as_bool().value_or(true);
        view.legacy_functions = setting("legacy_functions").is_true();
        view.json_tool = setting("json_tool").is_true();
        for (auto [original, sent] : setting("renamed").members()) {
            renamed_.push_back({original, sent.text()});
        }
        view.renamed = &renamed_;
        return view;
    }

    void expect(const std::string &name, const std::string &got) {
        unused_.erase(std::remove(unused_.begin(), unused_.end(), name), unused_.end());
        fs::path path = GetParam().folder / name;
        if (is_update()) {
            std::ofstream(path, std::ios::binary) << got;
            return;
        }
        EXPECT_EQ(read_file(path), got) << "in " << path;
    }

    // Two dialects stand for all, unless the case names others: the matrix tests try every pair.
    std::vector<DialectId> clients() {
        std::vector<DialectId> ids;
        for (Value name : setting("clients").items()) {
            const Dialect *known = find_dialect(plain(name.text()));
            EXPECT_NE(known, nullptr) << plain(name.text());
            ids.push_back(known != nullptr ? known->id : DialectId::openai);
        }
        return ids.empty() ? std::vector{DialectId::openai, DialectId::anthropic} : ids;
    }

    void run_request();
    void render_for(std::string_view model, const ir::Request &request);
    void run_response();
    void run_stream();
    void run_error();

    std::string input_, input_name_;
    std::unique_ptr<Document> settings_;
    std::vector<std::string> unused_;
    std::vector<Renamed> renamed_;
    FixedIds ids_;
    DialectId from_ = DialectId::openai;
};

void Golden::render_for(std::string_view model, const ir::Request &request) {
    bool is_claude = model.starts_with("claude");
    DialectId to = is_claude ? DialectId::anthropic : DialectId::openai;
    std::string label(model);
    if (size_t colon = model.find(':'); colon != std::string_view::npos) {
        ASSERT_NE(find_dialect(model.substr(0, colon)), nullptr) << model;
        to = find_dialect(model.substr(0, colon))->id;
        label[colon] = '.';
        model.remove_prefix(colon + 1);
    }
    bool is_official =
        is_claude || to != DialectId::openai || model.starts_with("gpt") || model.starts_with("o3");
    Target target;
    target.model = model;
    target.traits = model_traits(to, model, is_official);
    if (model.starts_with("deepseek")) {
        target.traits.wants_reasoning_content = true;
    }
    target.drop_params = setting("drop_params").is_true();
    Arena arena;
    Notes notes;
    ByteBuffer body;
    json::Writer body_writer(body);
    Status status = dialect(to).render_request(request, target, arena, body_writer, notes);
    ByteBuffer out;
    json::Writer writer(out);
    writer.object();
    if (!status) {
        writer.key("refused").plain(status.error().param);
        writer.key("why").plain(status.error().what);
    } else {
        if (!notes.dropped.empty()) {
            writer.key("dropped").array();
            for (std::string_view name : notes.dropped) {
                writer.plain(name);
            }
            writer.end();
        }
        if (!notes.renamed.empty()) {
            writer.key("renamed").object();
            for (const Renamed &renamed : notes.renamed) {
                writer.key(renamed.original).text(renamed.sent);
            }
            writer.end();
        }
        if (notes.json_tool) {
            writer.key("json_tool").boolean(true);
        }
        writer.key("body").raw({body.view()});
    }
    writer.end();
    expect("to." + label + ".json", pretty(out.view()));
}

void Golden::run_request() {
    Document document(input_);
    ASSERT_TRUE(document) << "the input is no JSON";
    Arena arena;
    ir::Request request;
    Status parsed = dialect(from_).parse_request(document.root(), arena, request);
    if (!parsed) {
        ByteBuffer out;
        json::Writer writer(out);
        writer.object().key("refused").plain(parsed.error().param);
        writer.key("why").plain(parsed.error().what).end();
        expect("to.nobody.json", pretty(out.view()));
        return;
    }
    for (Value model : setting("targets").items()) {
        render_for(plain(model.text()), request);
    }
    if (setting("targets").size() == 0) {
        render_for(from_ == DialectId::openai ? "claude-sonnet-4-5" : "gpt-4o", request);
    }
}

void Golden::run_response() {
    Document document(input_, {.allow_lone_surrogates = true});
    ASSERT_TRUE(document) << "the input is no JSON";
    for (DialectId to : clients()) {
        Arena arena;
        ir::Response response;
        Status parsed = dialect(from_).parse_response(document.root(), arena, response);
        ASSERT_TRUE(parsed) << parsed.error().what;
        ByteBuffer out;
        json::Writer writer(out);
        ids_.last = 0;
        dialect(to).render_response(response, view(), arena, writer);
        expect("to." + std::string(dialect(to).name) + ".json", pretty(out.view()));
    }
}

void Golden::run_stream() {
    for (DialectId to : clients()) {
        ids_.last = 0;
        expect("to." + std::string(dialect(to).name) + ".sse",
               translate(from_, view(), to, input_));
    }
}

void Golden::run_error() {
    Document document(input_, {.allow_lone_surrogates = true});
    Arena arena;
    ApiError error = read_error(uint16_t(atoi(input_name_.c_str())),
                                document ? document.root() : Value(), document.bytes(), arena);
    for (DialectId to : clients()) {
        ByteBuffer body, out;
        json::Writer body_writer(body), writer(out);
        uint16_t status = dialect(to).render_error(error, "req_1", body_writer);
        writer.object().key("class").plain(spelling(error.error_class).name);
        writer.key("status").number(status).key("body").raw({body.view()}).end();
        expect("to." + std::string(dialect(to).name) + ".json", pretty(out.view()));
    }
}

TEST_P(Golden, Matches) {
    const std::string &kind = GetParam().kind;
    kind == "request"    ? run_request()
    : kind == "response" ? run_response()
    : kind == "stream"   ? run_stream()
                         : run_error();
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, testing::ValuesIn(find_cases()),
                         [](const testing::TestParamInfo<Case> &at) { return at.param.name(); });

TEST(GoldenFiles, AreThere) {
    EXPECT_GT(find_cases().size(), 40u) << "in " << golden_root();
}

}  // namespace
}  // namespace llm::check
