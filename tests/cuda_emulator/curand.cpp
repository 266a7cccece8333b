// candle makes a generator with every device. Nothing here draws from it: a call that does is missing.
extern "C" {

int curandCreateGenerator(void **generator, int) { return *generator = new int, 0; }
int curandDestroyGenerator(void *generator) { return delete static_cast<int *>(generator), 0; }
int curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return 0; }
int curandSetGeneratorOffset(void *, unsigned long long) { return 0; }
int curandSetStream(void *, void *) { return 0; }

}
