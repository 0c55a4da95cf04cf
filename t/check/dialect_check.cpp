// The rows of dialect_checks.def. Every dialect of dialects.def has one: matrix_test.cpp looks.
#include "t/check/dialect_check.hpp"

#include <cstdio>
#include <cstdlib>

namespace llm::check {

std::span<const DialectCheck *const> dialect_checks() {
    static const DialectCheck *const kRows[] = {
#define LLM_CHECK(row) &row,
#include "t/check/dialect_checks.def"
#undef LLM_CHECK
    };
    return kRows;
}

const DialectCheck &check_of(DialectId id) {
    for (const DialectCheck *row : dialect_checks()) {
        if (row->id == id) {
            return *row;
        }
    }
    fprintf(stderr, "no row in dialect_checks.def for dialect %d\n", int(id));
    abort();
}

std::vector<DialectId> client_dialects() {
    std::vector<DialectId> ids;
    for (const Dialect *known : dialects()) {
        if (known->is_client()) {
            ids.push_back(known->id);
        }
    }
    return ids;
}

std::vector<DialectId> provider_dialects() {
    std::vector<DialectId> ids;
    for (const Dialect *known : dialects()) {
        if (known->is_provider()) {
            ids.push_back(known->id);
        }
    }
    return ids;
}

Answer read_stream(DialectId dialect, std::string_view bytes, Problems &problems) {
    return check_of(dialect).read_stream(bytes, {}, problems);
}

Answer read_body(DialectId dialect, std::string_view bytes, Problems &problems) {
    return check_of(dialect).read_body(bytes, problems);
}

}  // namespace llm::check
